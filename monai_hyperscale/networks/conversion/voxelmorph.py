"""Converters of MONAI's ``VoxelMorphUNet``."""

from __future__ import annotations

from typing import NoReturn

import torch
import torch.nn as nn
from monai.networks.blocks import UpSample
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import VoxelMorph, VoxelMorphUNet

from monai_hyperscale.networks.conversion.place import Place, converts

__all__ = ["UpSampledSkip"]


class UpSampledSkip(nn.Module):
    """A skip connection around a path that comes back coarse: it is up-sampled to the skip's size, and concatenated.

    Args:
        submodule: the path, of x.
        upsample: of (y, reference).
        dim: axis of the concatenation.
    """

    def __init__(self, submodule: nn.Module, upsample: nn.Module, dim: int = 1) -> None:
        super().__init__()
        self.submodule = submodule
        self.upsample = upsample
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C + C', *sizes)."""
        return torch.cat([x, self.upsample(self.submodule(x), x)], dim=self.dim)


@converts(VoxelMorphUNet)
def convert_voxelmorph_unet(place: Place) -> nn.Module:
    """Move each up-sampling, the last step of a nested path, to the skip connection that knows the size."""
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
    return UpSampledSkip(path.module, upsample, place.module.dim)


@converts(VoxelMorph)
def refuse_voxelmorph(place: Place) -> NoReturn:
    """Say what to convert instead."""
    raise place.error("it takes two images and has no phi to pass on; convert its backbone, the VoxelMorphUNet")
