"""Converter of MONAI's ``AttentionUnet``."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn as nn
from monai.networks.nets import AttentionUnet
from monai.networks.nets.attentionunet import AttentionBlock, AttentionLayer, ConvBlock, UpConv

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, keeps
from monai_hyperscale.networks.conversion.layers import UpThenLayer
from monai_hyperscale.networks.conversion.stages import convert_stages

__all__ = ["MergingAttentionLayer"]

keeps(AttentionUnet, AttentionBlock, ConvBlock)


class MergingAttentionLayer(nn.Module):
    """MONAI's ``AttentionLayer`` with the up-sampling going to the size of the features that it attends to.

    Args:
        attention: of (gate, features).
        upconv: of (x, reference).
        merge: after the concatenation.
        submodule: the levels below.
    """

    def __init__(self, attention: nn.Module, upconv: nn.Module, merge: nn.Module, submodule: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.upconv = upconv
        self.merge = merge
        self.submodule = submodule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to the same shape."""
        lower = self.upconv(self.submodule(x), x)
        return self.merge(torch.cat([self.attention(lower, x), lower], dim=1))


@converts(UpConv)
def convert_upconv(module: UpConv, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the transposed convolution."""
    up = conversion.transposed(module.up, join(name, "up"))
    return UpThenLayer(OrderedDict(up=up, after=nn.Identity()))


@converts(AttentionLayer)
def convert_attention_layer(module: Any, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the levels below, one further down if the first convolution of them is strided."""
    below = module.submodule
    for child in ("attention", "upconv", "merge"):
        conversion.convert_child(module, name, child, level)
    if isinstance(below, nn.Sequential):
        convert_stages(conversion, below, join(name, "submodule"), level)
    else:
        conversion.convert_child(module, name, "submodule", level)
    return MergingAttentionLayer(module.attention, module.upconv, module.merge, module.submodule)
