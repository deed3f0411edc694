"""The Residual U-Net of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

import torch.nn as nn
from monai.networks.blocks import ResidualUnit

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.norm import normalization_name
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = ["ScaleSpaceResidualUNet"]


class ScaleSpaceResidualUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose stages, encoder and decoder, are MONAI's residual units (SSHN C.1).

    A stage's input is added to what its convolutions return, each with normalisation, dropout and activation after it;
    where the channels change, the input passes a 1×1 convolution. The arguments are those of :class:`ScaleSpaceUNet`.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceResidualUNet
        >>> net = ScaleSpaceResidualUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a residual unit."""
        unit = ResidualUnit(
            self.spatial_dims,
            in_channels,
            out_channels,
            kernel_size=self.kernel_size,
            subunits=self.convolutions,
            act=self.act,
            norm=normalization_name(self.norm, out_channels),
            dropout=self.dropout,
            dropout_dim=self.spatial_dims,
        )
        initialize(unit)
        return unit
