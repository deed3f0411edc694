"""Converters of MONAI's ``ResNet``: the classifier, and the encoder that returns the features of every stage."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck, ResNetFeatures

from monai_hyperscale.networks.conversion.place import Place, converts

__all__ = ["PaddedShortcut"]


class PaddedShortcut(nn.Module):
    """MONAI's shortcut of type A: the strided map, with channels of zeros for those that it lacks.

    Args:
        pool: takes every s-th voxel.
        channels: of the result.

    Example:
        >>> PaddedShortcut(nn.Identity(), channels=5)(torch.ones(1, 2, 3, 3)).sum(dim=(2, 3)).tolist()
        [[9.0, 9.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, pool: nn.Module, channels: int) -> None:
        super().__init__()
        self.pool = pool
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, channels, *rescaled sizes)."""
        x = self.pool(x)
        return F.pad(x, [0, 0] * (x.dim() - 2) + [0, self.channels - x.shape[1]])


@converts(ResNetBlock, ResNetBottleneck)
def convert_block(place: Place) -> nn.Module:
    """Convert the children, and the shortcut of type A, which is no module but a function bound to the network."""
    block = place.module
    children = [child for child, _ in block.named_children()]
    shortcut = block.downsample
    if isinstance(shortcut, partial):
        dims, stride = shortcut.keywords["spatial_dims"], shortcut.keywords["stride"]
        pool: nn.Module = nn.Identity()
        if stride > 1:
            pool = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[dims - 1](1, stride)
            place.conversion.note("Gradients pass through the shortcuts of type A, where MONAI detaches them.")
        del block.downsample
        block.downsample = pool
        place.convert("downsample")
        block.downsample = PaddedShortcut(block.downsample, shortcut.keywords["planes"])
    return place.convert(*children)


@converts(ResNet, ResNetFeatures)
def convert_resnet(place: Place) -> nn.Module:
    """Make the first convolution, the pooling and ``layer2`` … ``layer4`` the levels, as far as they have strides."""
    network = place.module
    if not place.name and isinstance(network, ResNetFeatures):
        place.conversion.returns_features = True
    if network.no_max_pool:
        # MONAI builds it all the same, and leaves it out.
        network.maxpool = nn.Identity()
    place.stages("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    if network.fc is not None:
        place.conversion.claim(network.fc)  # it comes after global pooling
    return place.convert(*(child for child in ("bn1", "act", "avgpool", "fc") if getattr(network, child) is not None))
