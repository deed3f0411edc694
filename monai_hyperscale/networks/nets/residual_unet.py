"""The Residual U-Net of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

import torch.nn as nn

from monai_hyperscale.networks.blocks.residual import ResidualStage
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = ["ScaleSpaceResidualUNet"]


class ScaleSpaceResidualUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose stages, encoder and decoder, are MONAI's residual units (SSHN C.1).

    The residual connection spans all convolutions of a stage. The arguments are those of :class:`ScaleSpaceUNet`.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceResidualUNet
        >>> net = ScaleSpaceResidualUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a residual unit."""
        return ResidualStage(in_channels=in_channels, out_channels=out_channels, **self.stage_options)
