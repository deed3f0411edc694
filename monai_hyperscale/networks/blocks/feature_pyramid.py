"""The top-down path of a Feature Pyramid Network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.resize import interpolation_mode, resize_like

__all__ = ["FeaturePyramid"]


class FeaturePyramid(nn.Module):
    """Turn maps of several resolutions into as many of one width, each with context from the coarser ones.

    Lin et al., Feature Pyramid Networks for Object Detection, 2017, section 3. Each map passes a 1×1 convolution;
    from the coarsest on, the sum so far is resized to the next finer map and added to it; a k×k convolution on each
    sum gives the pyramid. The names are those of MONAI's ``FeaturePyramidNetwork``, which knows torch's ``nearest``
    only: shifted by half a voxel, and by more where sizes are not doubled.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of each map, finest first.
        out_channels: channels of every map of the pyramid.
        kernel_size: odd size of the last convolutions' kernels.
        mode: ``linear`` or ``nearest`` resizing.

    Example:
        >>> pyramid = FeaturePyramid(2, in_channels=(4, 8), out_channels=6)
        >>> [tuple(maps.shape) for maps in pyramid([torch.zeros(1, 4, 9, 7), torch.zeros(1, 8, 3, 2)])]
        [(1, 6, 9, 7), (1, 6, 3, 2)]
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: Sequence[int],
        out_channels: int,
        kernel_size: int = 3,
        mode: str = "linear",
    ) -> None:
        super().__init__()
        conv = Conv[Conv.CONV, spatial_dims]
        self.mode = interpolation_mode(mode, spatial_dims)
        self.inner_blocks = nn.ModuleList(conv(channels, out_channels, 1) for channels in in_channels)
        self.layer_blocks = nn.ModuleList(
            conv(out_channels, out_channels, kernel_size, padding=kernel_size // 2) for _ in in_channels
        )
        initialize(self)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Map features (B, C_l, *sizes_l), finest first, to (B, out_channels, *sizes_l)."""
        inner: list[torch.Tensor] = []
        for index, block in enumerate(self.inner_blocks):
            inner.append(block(maps[index]))
        for index in range(len(inner) - 2, -1, -1):
            inner[index] = inner[index] + resize_like(inner[index + 1], inner[index], self.mode)
        pyramid: list[torch.Tensor] = []
        for index, block in enumerate(self.layer_blocks):
            pyramid.append(block(inner[index]))
        return pyramid
