"""Normalisation that holds down to one voxel, as φ = 0 produces."""

from __future__ import annotations

from typing import Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.layers.factories import Norm, split_args
from monai.networks.layers.utils import get_norm_layer


class GuardedGroupNorm(nn.GroupNorm):
    """Group normalisation; a group of a single value, which has no variance, is scaled and shifted as it is."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, *sizes)."""
        voxels = 1
        for n in input.shape[2:]:
            voxels *= n
        if voxels * self.num_channels // self.num_groups == 1:
            if self.weight is None or self.bias is None:
                return input
            shape = [1, -1] + [1] * (input.dim() - 2)
            return input * self.weight.view(shape) + self.bias.view(shape)
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


@Norm.factory_function("guarded_group")
def _guarded_group(dim: int) -> type[GuardedGroupNorm]:
    # So that MONAI's blocks, which take norms by name, can have it; the class is the same for every dimension.
    return GuardedGroupNorm


def normalization_name(norm: Optional[Union[str, tuple]], channels: int) -> Optional[tuple[str, dict]]:
    """Return the normalisation of a φ-network as MONAI's blocks take it, (name, options); see :func:`normalization`.

    Example:
        >>> from monai.networks.blocks import Convolution
        >>> norm = Convolution(2, 1, 8, norm=normalization_name("group", 8)).adn.N
        >>> type(norm).__name__, norm.num_groups
        ('GuardedGroupNorm', 2)
    """
    if norm is None:
        return None
    name, options = split_args(norm)
    options = dict(options)
    kind = str(name).lower()
    if kind == "group":
        groups = options.pop("num_groups", max(g for g in range(1, max(1, channels // 4) + 1) if channels % g == 0))
    elif kind == "instance":
        groups = channels
    elif kind == "batch":
        raise ValueError(
            "batch normalisation keeps running statistics, which mix over phi and are wrong for each of them; "
            "use norm='group', norm='instance' or norm=None."
        )
    else:
        raise ValueError(f"norm must be 'group', 'instance' or None, got {name!r}.")
    if groups < 1 or channels % groups:
        raise ValueError(f"num_groups must divide the {channels} channels of every stage, got {groups}.")
    return "guarded_group", {"num_groups": groups, **options}


def normalization(norm: Optional[Union[str, tuple]], channels: int) -> nn.Module:
    """Return the normalisation layer of a φ-network.

    Args:
        norm: ``"group"`` (groups of four channels, or as ``("group", {"num_groups": 2})`` says), ``"instance"``, or
            ``None`` as in the paper, which names none. ``eps`` and ``affine`` may be given in the dictionary. Others
            are a ``ValueError``, ``"batch"`` too: statistics mixed over φ ruin inference (SAN, Table 3).
        channels: number of channels.

    Example:
        >>> normalization("group", 32).num_groups
        8
    """
    named = normalization_name(norm, channels)
    return nn.Identity() if named is None else get_norm_layer(named, channels=channels)
