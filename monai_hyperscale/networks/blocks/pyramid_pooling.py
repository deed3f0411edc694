"""Pyramid pooling, the context module of PSPNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.blocks import Convolution

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.norm import normalization_name
from monai_hyperscale.networks.layers.resize import interpolation_mode, resize_like

__all__ = ["PyramidPooling", "average_bins"]


def average_bins(x: torch.Tensor, bins: int) -> torch.Tensor:
    """Average maps over ``bins`` bins along each axis, or as many as the axis has voxels if these are fewer.

    Args:
        x: maps (B, C, *sizes).
        bins: at least 1.

    Returns:
        (B, C, *bins), the value of torch's adaptive average pooling.

    Example:
        >>> average_bins(torch.arange(6.0).reshape(1, 1, 1, 6), 3).flatten().tolist()
        [0.5, 2.5, 4.5]
    """
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

    For each number of bins, the map is averaged over that many parts along every axis, goes through a 1×1 convolution
    to a share of the channels, and is resized to the size that it came from; a 1×1 convolution brings the map and all
    of these back to the number of channels. An axis of fewer voxels than bins keeps its voxels. Only the last
    convolution is followed by a norm: the average over the whole map is one voxel, of which a norm would leave little.

    Args:
        spatial_dims: 1, 2 or 3.
        channels: channels in and out.
        bins: parts along an axis, one number for each resolution; the paper's.
        norm: see :func:`monai_hyperscale.networks.layers.normalization`.
        act: activation, by MONAI's names.
        mode: ``linear`` or ``nearest`` resizing.

    Raises:
        ValueError: if ``bins`` is empty or has a number below 1.

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
