"""Converter of MONAI's ``UNet``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from monai.networks.blocks import Convolution
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import UNet

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, strided

__all__ = ["RefinedUp", "UNetLevel"]


class RefinedUp(nn.Module):
    """An up-sampling to the size of a reference, and a residual unit after it.

    The parts keep the names ``0`` and ``1`` that they have in MONAI's network.

    Args:
        up: of (x, reference).
        unit: after it.
    """

    def __init__(self, up: nn.Module, unit: nn.Module) -> None:
        super().__init__()
        self.add_module("0", up)
        self.add_module("1", unit)

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        return getattr(self, "1")(getattr(self, "0")(x, reference))


class UNetLevel(nn.Module):
    """One level of MONAI's ``UNet``, that gives features of its input's size: down, all below, and up again.

    The parts keep the names ``0``, ``1`` and ``2`` that they have in MONAI's network.

    Args:
        down: first layers.
        below: skip connection around the levels below.
        up: of (x, reference).
    """

    def __init__(self, down: nn.Module, below: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.add_module("0", down)
        self.add_module("1", below)
        self.add_module("2", up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes)."""
        return getattr(self, "2")(getattr(self, "1")(getattr(self, "0")(x)), x)


@converts(UNet)
def convert_unet(module: Any, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the nested levels of the network."""
    module.model = _level(module.model, join(name, "model"), level, conversion)
    return module


def _level(module: Any, name: str, level: int, conversion: Conversion) -> nn.Module:
    parts = list(module.children())
    nested = type(module) is nn.Sequential and len(parts) == 3 and isinstance(parts[1], SkipConnection)
    if not nested:
        return conversion.convert(module, name, level)
    down, skip, up = parts
    resampled = any(strided(part) for part in down.modules() if isinstance(part, nn.modules.conv._ConvNd))
    skip.submodule = _level(skip.submodule, f"{name}.1.submodule", level + int(resampled), conversion)
    down = conversion.convert(down, join(name, "0"), level)
    if isinstance(up, Convolution):
        return UNetLevel(down, skip, conversion.transposed(up, join(name, "2")))
    if not (type(up) is nn.Sequential and isinstance(up[0], Convolution) and len(up) == 2):
        raise conversion.error(join(name, "2"), up, "the up-sampling is not one that MONAI's UNet makes")
    unit = conversion.convert(up[1], join(name, "2.1"), level)
    return UNetLevel(down, skip, RefinedUp(conversion.transposed(up[0], join(name, "2.0")), unit))
