"""The network that classifies: a φ-encoder, the mean over the places of its last maps, and a linear head."""

from __future__ import annotations

import torch
import torch.nn as nn

from monai_hyperscale.networks.nets.encoder import Encoder, EncoderNetwork

__all__ = ["ScaleSpaceClassifier"]


class ScaleSpaceClassifier(EncoderNetwork):
    """An encoder whose maps are rescaled by φ between stages, and one score for each class.

    The mean over places makes the scores independent of the size of the last maps, so that any φ and any image size
    will do. The head is learned as usual; the weights of the convolutions are what a hypernetwork generates.

    Args:
        spatial_dims: see :class:`ScaleSpaceUNet`, as for all others.

    Example:
        >>> net = ScaleSpaceClassifier(spatial_dims=2, in_channels=1, out_channels=3, features=(4, 8))
        >>> net(torch.zeros(5, 1, 31, 17), phi=0.3).shape
        torch.Size([5, 3])
    """

    def make_body(self) -> nn.Module:
        """Return encoder and head."""
        return _Classifier(self)


class _Classifier(Encoder):
    """The encoder with its head."""

    def __init__(self, network: ScaleSpaceClassifier) -> None:
        super().__init__(network, network.in_channels)
        self.head = nn.Linear(network.features[-1], network.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, *sizes) to scores (B, classes)."""
        return self.head(self.encode(x)[-1].flatten(2).mean(2))
