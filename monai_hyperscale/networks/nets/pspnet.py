"""The PSPNet of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn as nn

from monai_hyperscale.networks.blocks.pyramid_pooling import PyramidPooling
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = ["ScaleSpacePSPNet"]


@dataclass(eq=False, repr=False)
class ScaleSpacePSPNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose decoder stages end with pyramid pooling (SSHN C.1).

    The encoder down-samples by φ, and "multi resolution PSP blocks in the decoder" gather context; that the decoder
    has skip connections is our reading: without them, little would be left to segment at small φ.

    Args:
        bins: parts into which pyramid pooling divides an axis, one number for each resolution. All other arguments are
            those of :class:`ScaleSpaceUNet`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpacePSPNet
        >>> net = ScaleSpacePSPNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4), bins=(1, 2))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    bins: Sequence[int] = (1, 2, 3, 6)

    def decoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return convolutions with pyramid pooling after them."""
        stage = self.encoder_stage(in_channels, out_channels)
        pooling = PyramidPooling(self.spatial_dims, out_channels, self.bins, self.norm, self.act, self.mode)
        return nn.Sequential(OrderedDict(convolutions=stage, pooling=pooling))
