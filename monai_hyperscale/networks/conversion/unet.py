"""Converter of MONAI's ``UNet``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from monai.networks.blocks import Convolution
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import UNet

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, strided
from monai_hyperscale.networks.conversion.layers import UpThenLayer

__all__ = ["UNetLevel"]


class UNetLevel(nn.Sequential):
    """One level of MONAI's ``UNet``, that gives features of its input's size.

    Its parts, as in MONAI's network, are the first layers, the skip connection around the levels below, and the way up,
    of (x, reference).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes)."""
        return self[2](self[1](self[0](x)), x)


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
    return UNetLevel(down, skip, UpThenLayer(conversion.transposed(up[0], join(name, "2.0")), unit))
