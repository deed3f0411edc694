"""Converter of MONAI's ``AttentionUnet``."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn as nn
from monai.networks.nets import AttentionUnet
from monai.networks.nets.attentionunet import AttentionBlock, AttentionLayer, ConvBlock, UpConv

from monai_hyperscale.networks.conversion.layers import UpThenLayer
from monai_hyperscale.networks.conversion.place import Place, converts, keeps

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
def convert_upconv(place: Place) -> nn.Module:
    """Convert the transposed convolution."""
    return UpThenLayer(OrderedDict(up=place.child("up").transposed(), after=nn.Identity()))


@converts(AttentionLayer)
def convert_attention_layer(place: Place) -> nn.Module:
    """Convert the levels below, one further down if the first convolution of them is strided."""
    place.convert("attention", "upconv", "merge")
    below = place.child("submodule")
    if isinstance(below.module, nn.Sequential):
        below.stages()
    else:
        place.convert("submodule")
    layer = place.module
    return MergingAttentionLayer(layer.attention, layer.upconv, layer.merge, layer.submodule)
