"""Converter of MONAI's ``VNet``."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from monai.networks.nets import VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, LUConv, OutputTransition, UpTransition

from monai_hyperscale.networks.conversion.place import Place, converts, keeps, staged
from monai_hyperscale.networks.layers.resize import resize_like

__all__ = ["MergingUpTransition"]

keeps(InputTransition, LUConv, DownTransition, OutputTransition)
staged(VNet)


class MergingUpTransition(nn.Module):
    """MONAI's ``UpTransition`` with the up-sampling going to the skip connection's size.

    Args:
        module: whose parts it takes over.
        mode: torch's name of the interpolation.
    """

    def __init__(self, module: Any, mode: str) -> None:
        super().__init__()
        self.up_conv = module.up_conv
        self.bn1 = module.bn1
        self.dropout = nn.Identity() if module.dropout is None else module.dropout
        self.dropout2 = module.dropout2
        self.act_function1 = module.act_function1
        self.act_function2 = module.act_function2
        self.ops = module.ops
        self.mode = mode

    def forward(self, x: torch.Tensor, skipx: torch.Tensor) -> torch.Tensor:
        """Merge features (B, C, *sizes) into those of the encoder (B, C', *skip sizes)."""
        up = resize_like(self.up_conv(self.dropout(x)), skipx, self.mode)
        merged = torch.cat([self.act_function1(self.bn1(up)), self.dropout2(skipx)], dim=1)
        return self.act_function2(self.ops(merged) + merged)


@converts(UpTransition)
def convert_up_transition(place: Place) -> nn.Module:
    """Convert everything but the transposed convolution, which the resize follows."""
    place.conversion.claim(place.module.up_conv)
    place.convert()
    place.replaced("the same, with a resize to the skip connection's size after up_conv")
    return MergingUpTransition(place.module, place.conversion.resize_mode)
