"""Converters of MONAI's ``VoxelMorphUNet``."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
import torch.nn as nn
from monai.networks.blocks import UpSample
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import VoxelMorph, VoxelMorphUNet

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join

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
def convert_voxelmorph_unet(module: VoxelMorphUNet, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Move each up-sampling, the last step of a nested path, to the skip connection that knows the size."""
    net: Any = module.net
    # The outermost path keeps the size; the one inside its skip connection is the first to go down.
    _convert_path(net[0], join(name, "net.0"), level - 1, conversion)
    conversion.convert_child(net, join(name, "net"), "1", level)
    return module


def _convert_path(path: nn.Module, name: str, level: int, conversion: Conversion) -> None:
    for child, part in list(path.named_children()):
        if type(part) is SkipConnection:
            path._modules[child] = _convert_skip(part, join(name, child), level + 1, conversion)
        else:
            conversion.convert_child(path, name, child, level)


def _convert_skip(skip: SkipConnection, name: str, level: int, conversion: Conversion) -> nn.Module:
    # The up-sampling ends the path, or the block that ends it.
    path, where = skip.submodule, join(name, "submodule")
    block: Any = path
    while type(block[-1]) is nn.Sequential:
        where = join(where, str(len(block) - 1))
        block = block[-1]
    last = str(len(block) - 1)
    if type(block[-1]) is not UpSample or skip.mode != "cat":
        raise conversion.error(name, skip, "it is not a concatenation with a path that ends in an UpSample")
    upsample = conversion.upsample(block[-1], join(where, last))
    block._modules[last] = nn.Identity()
    _convert_path(path, join(name, "submodule"), level, conversion)
    return UpSampledSkip(path, upsample, skip.dim)


@converts(VoxelMorph)
def refuse_voxelmorph(module: VoxelMorph, name: str, level: int, conversion: Conversion) -> NoReturn:
    """Say what to convert instead."""
    raise conversion.error(
        name, module, "it takes two images and has no phi to pass on; convert its backbone, the VoxelMorphUNet"
    )
