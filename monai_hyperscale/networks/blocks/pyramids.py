"""Blocks that gather context over resolutions: the path of the Feature Pyramid Network, the pooling of PSPNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.norm import normalization_name
from monai_hyperscale.networks.layers.resize import interpolation_mode, resize_like


class FeaturePyramid(nn.Module):
    """Turn maps of several resolutions into as many of one width, each with context from the coarser ones.

    Lin et al., Feature Pyramid Networks for Object Detection, 2017, section 3: a 1×1 convolution of each map, the sum
    so far resized and added to the next finer one, a k×k convolution on each sum. Names are those of MONAI's
    ``FeaturePyramidNetwork``, which knows torch's ``nearest`` only: shifted by half a voxel or more.

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


def average_bins(x: torch.Tensor, bins: int) -> torch.Tensor:
    """Average maps (B, C, *sizes) over ``bins`` bins along each axis, or as many as the axis has voxels if fewer."""
    size = [min(bins, n) for n in x.shape[2:]]
    if x.dim() == 3:
        return F.adaptive_avg_pool1d(x, size[0])
    if x.dim() == 4:
        # A list where torch's stubs want a tuple: TorchScript takes lists only.
        return F.adaptive_avg_pool2d(x, size)  # type: ignore[arg-type]
    # One axis after the other two: torch exports adaptive pooling to ONNX in 2D only.
    slices = F.adaptive_avg_pool2d(x.flatten(1, 2), size[1:])  # type: ignore[arg-type]
    rows = slices.reshape([x.shape[0], x.shape[1], x.shape[2], -1])
    pooled = F.adaptive_avg_pool2d(rows, [size[0], size[1] * size[2]])  # type: ignore[arg-type]
    return pooled.reshape([x.shape[0], x.shape[1]] + size)


class PyramidPooling(nn.Module):
    """Add context from averages over ever smaller parts of the map (Zhao et al., Pyramid Scene Parsing Network, 2017).

    The map's averages over so many parts along every axis, each through a 1×1 convolution to a share of the channels
    and resized, are concatenated with it; another 1×1 convolution brings all back to its channels. Only that one is
    followed by a norm: the average over the whole map is one voxel, of which a norm would leave little.

    Args:
        spatial_dims: 1, 2 or 3.
        channels: channels in and out.
        bins: parts along an axis, at most its voxels, one or more, each at least 1; the paper's.
        norm: see :func:`~monai_hyperscale.networks.layers.normalization`.
        act: activation, by MONAI's names.
        mode: ``linear`` or ``nearest`` resizing.

    Example:
        >>> PyramidPooling(3, 8)(torch.zeros(1, 8, 5, 7, 1)).shape
        torch.Size([1, 8, 5, 7, 1])
    """

    def __init__(
        self,
        spatial_dims: int,
        channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        norm: Optional[Union[str, tuple]] = "group",
        act: Union[str, tuple] = "leakyrelu",
        mode: str = "linear",
    ) -> None:
        super().__init__()
        if not bins or min(bins) < 1:
            raise ValueError(f"bins needs at least one number, each at least 1, got {tuple(bins)}.")
        self.mode = interpolation_mode(mode, spatial_dims)
        self.bins = list(bins)
        share = max(1, channels // len(bins))
        self.branches = nn.ModuleList(
            Convolution(spatial_dims, channels, share, kernel_size=1, act=act, norm=None) for _ in bins
        )
        self.fuse = Convolution(
            spatial_dims,
            channels + share * len(bins),
            channels,
            kernel_size=1,
            act=act,
            norm=normalization_name(norm, channels),
        )
        initialize(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to the same shape."""
        maps = [x]
        for index, branch in enumerate(self.branches):
            maps.append(resize_like(branch(average_bins(x, self.bins[index])), x, self.mode))
        return self.fuse(torch.cat(maps, dim=1))
