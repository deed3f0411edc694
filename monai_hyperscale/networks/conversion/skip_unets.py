"""Converters of MONAI's U-Nets of nested levels: ``UNet``, ``AttentionUnet``, ``VoxelMorphUNet``."""

from __future__ import annotations

from typing import NoReturn

import torch
import torch.nn as nn
from monai.networks.blocks import Convolution, ResidualUnit, UpSample
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import AttentionUnet, UNet, VoxelMorph, VoxelMorphUNet
from monai.networks.nets.attentionunet import AttentionBlock, AttentionLayer, ConvBlock, UpConv

from monai_hyperscale.networks.conversion.conversion import CONVS, strided
from monai_hyperscale.networks.conversion.layers import StridedResize, TakenOver, UpBlock
from monai_hyperscale.networks.conversion.place import RESIZED, Place, converts, keeps

keeps(AttentionUnet, AttentionBlock, ConvBlock)


class _ResizedResidualUnit(nn.Module):
    """MONAI's strided ``ResidualUnit``, its input resized once for the convolutions and the shortcut."""

    def __init__(self, resize: StridedResize, conv: nn.Module, residual: nn.Module) -> None:
        super().__init__()
        self.resize = resize
        self.conv = conv
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.resize(x)
        return self.conv(x) + self.residual(x)


@converts(ResidualUnit)
def _residual_unit(place: Place) -> nn.Module:
    unit = place.module
    convs = [part for part in unit.modules() if isinstance(part, CONVS) and strided(part)]
    for conv in convs:
        place.check_padding(conv)
        place.conversion.claim(conv)
    place.convert("residual", "conv")
    if not convs:
        return unit
    place.replaced(RESIZED, place.level)
    return _ResizedResidualUnit(place.resize(convs[0].stride), unit.conv, unit.residual)


class _UNetLevel(nn.Sequential):
    """One level of ``UNet``: the first layers, the skip connection around the levels below, and the way up."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[2](self[1](self[0](x)), x)


@converts(UNet)
def _unet(place: Place) -> nn.Module:
    place.module.model = _unet_level(place.child("model"))
    return place.module


def _unet_level(place: Place) -> nn.Module:
    level = place.module
    if not (type(level) is nn.Sequential and len(level) == 3 and isinstance(level[1], SkipConnection)):
        return place.converted()
    skip, up = level[1], place.child("2")
    # The level of what is below comes from whether the first layers go down.
    skip.submodule = _unet_level(place.child("1.submodule", place.stages("0")))
    down = level[0]
    if isinstance(up.module, Convolution):
        return _UNetLevel(down, skip, up.transposed())
    if not (type(up.module) is nn.Sequential and isinstance(up.module[0], Convolution) and len(up.module) == 2):
        raise up.error("the up-sampling is not one that MONAI's UNet makes")
    return _UNetLevel(down, skip, UpBlock({"0": up.child("0").transposed(), "1": up.child("1").converted()}))


class _MergingAttentionLayer(TakenOver):
    """``AttentionLayer`` with the up-sampling going to the size of the features that it attends to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lower = self.upconv(self.submodule(x), x)
        return self.merge(torch.cat([self.attention(lower, x), lower], dim=1))


@converts(UpConv)
def _attention_up(place: Place) -> nn.Module:
    return UpBlock({"up": place.child("up").transposed(), "after": nn.Identity()})


@converts(AttentionLayer)
def _attention_layer(place: Place) -> nn.Module:
    place.convert("attention", "upconv", "merge")
    below = place.child("submodule")
    if isinstance(below.module, nn.Sequential):
        below.stages()  # one level further down if the first convolution is strided
    else:
        place.convert("submodule")
    return _MergingAttentionLayer(place.module, "attention", "upconv", "merge", "submodule")


class _UpSampledSkip(nn.Module):
    """A skip connection around a path that comes back coarse: it is up-sampled to the skip's size, and concatenated."""

    def __init__(self, submodule: nn.Module, upsample: nn.Module, dim: int = 1) -> None:
        super().__init__()
        self.submodule = submodule
        self.upsample = upsample
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.upsample(self.submodule(x), x)], dim=self.dim)


@converts(VoxelMorphUNet)
def _voxelmorph_unet(place: Place) -> nn.Module:
    # Each up-sampling, the last step of a nested path, moves to the skip connection that knows the size.
    net = place.child("net")
    # The outermost path keeps the size; the one inside its skip connection is the first to go down.
    _convert_path(net.child("0", place.level - 1))
    net.convert("1")
    return place.module


def _convert_path(place: Place) -> None:
    for name, part in list(place.module.named_children()):
        if type(part) is SkipConnection:
            place.module._modules[name] = _convert_skip(place.child(name, place.level + 1))
        else:
            place.convert(name)


def _convert_skip(place: Place) -> nn.Module:
    # The up-sampling ends the path, or the block that ends it.
    path = block = place.child("submodule")
    while type(block.module[-1]) is nn.Sequential:
        block = block.child(str(len(block.module) - 1))
    last = str(len(block.module) - 1)
    if type(block.module[-1]) is not UpSample or place.module.mode != "cat":
        raise place.error("it is not a concatenation with a path that ends in an UpSample")
    upsample = block.child(last).upsample()
    block.module._modules[last] = nn.Identity()
    _convert_path(path)
    return _UpSampledSkip(path.module, upsample, place.module.dim)


@converts(VoxelMorph)
def _refuse_voxelmorph(place: Place) -> NoReturn:
    raise place.error("it takes two images and has no phi to pass on; convert its backbone, the VoxelMorphUNet")
