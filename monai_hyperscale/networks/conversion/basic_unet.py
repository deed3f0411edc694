"""Converters of MONAI's ``BasicUNet`` and ``BasicUNetPlusPlus``."""

from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, keeps

__all__ = ["MergingUpCat"]

keeps(TwoConv, Down)


class MergingUpCat(nn.Module):
    """MONAI's ``UpCat`` with the up-sampling going to the skip connection's size, in place of padding by a voxel.

    Args:
        upsample: of (x, reference).
        convs: after the concatenation.
    """

    def __init__(self, upsample: nn.Module, convs: nn.Module) -> None:
        super().__init__()
        self.upsample = upsample
        self.convs = convs

    def forward(self, x: torch.Tensor, x_e: torch.Tensor) -> torch.Tensor:
        """Merge features (B, C, *sizes) into those of the encoder (B, C', *skip sizes)."""
        return self.convs(torch.cat([x_e, self.upsample(x, x_e)], dim=1))


@converts(UpCat)
def convert_upcat(module: UpCat, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the up-sampling, and the convolutions after it."""
    upsample = conversion.upsample(module.upsample, join(name, "upsample"))
    return MergingUpCat(upsample, conversion.convert(module.convs, join(name, "convs"), level))


@converts(BasicUNet)
def convert_basic_unet(module: BasicUNet, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Make ``down_1`` … ``down_4`` the levels."""
    for child, _ in list(module.named_children()):
        down = child.removeprefix("down_") if child.startswith("down_") else "1"
        conversion.convert_child(module, name, child, level + int(down) - 1)
    return module


@converts(BasicUNetPlusPlus)
def convert_basic_unet_plus_plus(module: BasicUNetPlusPlus, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Make ``conv_1_0`` … ``conv_4_0`` the levels."""
    for child, part in list(module.named_children()):
        depth = int(child.split("_")[1]) - 1 if isinstance(part, Down) else 0
        conversion.convert_child(module, name, child, level + depth)
    return module
