"""The squeeze-and-excitation U-Net of SSHN (C.1, "SENet"), with a continuous rescaling factor."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn as nn
from monai.networks.blocks import ChannelSELayer

from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = ["ScaleSpaceSEUNet"]


@dataclass(eq=False, repr=False)
class ScaleSpaceSEUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` with squeeze-and-excitation at the end of every stage, encoder and decoder (SSHN C.1).

    The layers are MONAI's: each channel is averaged over the map, and two fully connected layers turn the averages into
    a weight between 0 and 1 for each channel. They are no convolutions: a hypernetwork leaves them to be learned for
    all φ alike unless ``select`` names them.

    Args:
        reduction: how many times fewer channels the squeezed layer has; at most the channels of the narrowest stage.
            All other arguments are those of :class:`ScaleSpaceUNet`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceSEUNet
        >>> net = ScaleSpaceSEUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(8, 8), reduction=4)
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    reduction: int = 2

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return convolutions with squeeze-and-excitation after them."""
        if not 1 <= self.reduction <= out_channels:
            raise ValueError(
                f"reduction must be between 1 and the {out_channels} channels of the narrowest stage, got "
                f"{self.reduction}."
            )
        stage = super().encoder_stage(in_channels, out_channels)
        layer = ChannelSELayer(self.spatial_dims, out_channels, self.reduction, acti_type_1=self.act)
        stage.add_module("squeeze_excite", layer)
        return stage
