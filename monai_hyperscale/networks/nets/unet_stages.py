"""U-Nets of SSHN (C.1) with other stages: residual, with squeeze-and-excitation ("SENet"), with pyramid pooling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn as nn
from monai.networks.blocks import ChannelSELayer, ResidualUnit

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.blocks.pyramids import PyramidPooling
from monai_hyperscale.networks.layers.norm import normalization_name
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet


class ScaleSpaceResidualUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose stages, encoder and decoder, are MONAI's residual units (SSHN C.1).

    A stage's input is added to what its convolutions return, each with normalisation, dropout and activation after it;
    where the channels change, the input passes a 1×1 convolution. The arguments are those of :class:`ScaleSpaceUNet`.

    Example:
        >>> import torch
        >>> net = ScaleSpaceResidualUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
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


@dataclass(eq=False, repr=False)
class ScaleSpaceSEUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` with squeeze-and-excitation at the end of every stage, encoder and decoder (SSHN C.1).

    The layers are MONAI's: each channel is averaged over the map, and two fully connected layers turn the averages into
    a weight between 0 and 1 for each channel. They are no convolutions: a hypernetwork leaves them to be learned for
    all φ alike unless ``select`` names them.

    Args:
        reduction: how many times fewer channels the squeezed layer has; at most the channels of the narrowest stage.
            All other arguments are those of :class:`ScaleSpaceUNet`.

    Example:
        >>> import torch
        >>> net = ScaleSpaceSEUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(8, 8), reduction=4)
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    reduction: int = 2

    def encoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        if not 1 <= self.reduction <= out_channels:
            raise ValueError(
                f"reduction must be between 1 and the {out_channels} channels of the narrowest stage, got "
                f"{self.reduction}."
            )
        stage = super().encoder_stage(in_channels, out_channels)
        layer = ChannelSELayer(self.spatial_dims, out_channels, self.reduction, acti_type_1=self.act)
        stage.add_module("squeeze_excite", layer)
        return stage


@dataclass(eq=False, repr=False)
class ScaleSpacePSPNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose decoder stages end with pyramid pooling (SSHN C.1).

    The encoder down-samples by φ, and "multi resolution PSP blocks in the decoder" gather context; that the decoder
    has skip connections is our reading: without them, little would be left to segment at small φ.

    Args:
        bins: parts into which pyramid pooling divides an axis, one number for each resolution. All other arguments are
            those of :class:`ScaleSpaceUNet`.

    Example:
        >>> import torch
        >>> net = ScaleSpacePSPNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4), bins=(1, 2))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    bins: Sequence[int] = (1, 2, 3, 6)

    def decoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        stage = self.encoder_stage(in_channels, out_channels)
        pooling = PyramidPooling(self.spatial_dims, out_channels, self.bins, self.norm, self.act, self.mode)
        return nn.Sequential(OrderedDict(convolutions=stage, pooling=pooling))
