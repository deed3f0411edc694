"""The U-Net of SSHN (section 4.4 and A.1) and Amortized (section 4), and those of SSHN C.1 with other stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn as nn
from monai.networks.blocks import ChannelSELayer, ResidualUnit
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.blocks.pyramids import PyramidPooling
from monai_hyperscale.networks.layers.norm import normalization_name
from monai_hyperscale.networks.layers.patches import InPatches
from monai_hyperscale.networks.layers.resize import resize_like
from monai_hyperscale.networks.nets.encoder import Encoder, EncoderNetwork


class _UNetBody(Encoder):
    def __init__(self, network: ScaleSpaceUNet, decoder_features: Sequence[int], voxels: int) -> None:
        super().__init__(network, network.in_channels * voxels)
        self.decoder = nn.ModuleList()
        channels = network.features[-1]
        for width, skip in zip(decoder_features, reversed(network.features[:-1]), strict=True):
            self.decoder.append(network.decoder_stage(channels + skip, width))
            channels = width
        self.final = Conv[Conv.CONV, network.spatial_dims](channels, network.out_channels * voxels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = self.encode(x)
        x = skips.pop()
        for stage in self.decoder:
            skip = skips.pop()
            x = stage(torch.cat([resize_like(x, skip, self.mode), skip], dim=1))
        return self.final(x)


@dataclass(eq=False, repr=False)
class ScaleSpaceUNet(EncoderNetwork):
    """SSHN's primary network: a U-Net that down-samples by φ at every level and takes any input size.

    Up-sampling goes to the size of the skip connection, so sizes need not divide by anything and nothing is padded.
    At φ = 0.5 and sizes divisible by ``2 ** (levels - 1)`` it is the ordinary U-Net with halving.
    An argument out of range is a ``ValueError``.

    Args:
        spatial_dims: 2 or 3 (1 works too).
        in_channels: channels of the images.
        out_channels: channels of the logits.
        features: channels of every encoder stage. The paper has five of 32; Amortized uses (16, 32, 64, 128, 256).
        decoder_features: channels of the decoder stages, deepest first, one fewer than ``features``. Default: as the
            encoder stage of the same level; Amortized uses (32, 16, 8, 4).
        convolutions: convolutions per stage.
        kernel_size: odd size of the kernels.
        norm: ``"group"`` (default), ``"instance"`` or ``None`` as in the paper.
        act: activation, by MONAI's names.
        dropout: probability, or MONAI's ``(name, options)``.
        mode: ``linear`` or ``nearest`` resizing.
        rounding: rounding of ``φ·n``: ``nearest``, ``ceil`` or ``floor``.
        rescale_input: whether the image has a factor of its own, see :class:`ScaleSpaceNetwork`.
        patch_size: edge of the patches that the first stage sees as one voxel of more channels, see :class:`InPatches`.
            2 leaves it an eighth of a volume's voxels: the cost of a network then goes by φ.

    Example:
        >>> net = ScaleSpaceUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    decoder_features: Optional[Sequence[int]] = None
    patch_size: int = 1

    def make_body(self) -> nn.Module:
        stages = len(self.features) - 1
        widths = self.features[-2::-1] if self.decoder_features is None else self.decoder_features
        if len(widths) != stages or min(widths) < 1:
            raise ValueError(
                f"decoder_features must name {stages} stages of at least one channel, one stage fewer than features, "
                f"got {tuple(widths)}."
            )
        size = self.patch_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"patch_size must be a whole number of voxels, at least 1, got {size!r}.")
        body = _UNetBody(self, widths, size**self.spatial_dims)
        return InPatches(body, size) if size > 1 else body

    def decoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a stage of the decoder, from the channels of the stage below and of the skip connection together."""
        return self.encoder_stage(in_channels, out_channels)


class ScaleSpaceResidualUNet(ScaleSpaceUNet):
    """A :class:`ScaleSpaceUNet` whose stages, encoder and decoder, are MONAI's residual units (SSHN C.1).

    A stage's input, by a 1×1 convolution where the channels change, is added to what its convolutions return.

    Example:
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
    """A :class:`ScaleSpaceUNet` with MONAI's squeeze-and-excitation at the end of every stage (SSHN C.1).

    Two fully connected layers turn each channel's average over the map into a weight between 0 and 1. They are no
    convolutions: a hypernetwork leaves them to be learned for all φ alike unless ``select`` names them.

    Args:
        reduction: how many times fewer channels the squeezed layer has; at most the channels of the narrowest stage.

    Example:
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

    "Multi resolution PSP blocks in the decoder" gather context; that the decoder has skip connections is our reading:
    without them, little would be left to segment at small φ.

    Args:
        bins: parts into which pyramid pooling divides an axis, one number for each resolution.

    Example:
        >>> net = ScaleSpacePSPNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4), bins=(1, 2))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    bins: Sequence[int] = (1, 2, 3, 6)

    def decoder_stage(self, in_channels: int, out_channels: int) -> nn.Module:
        stage = self.encoder_stage(in_channels, out_channels)
        pooling = PyramidPooling(self.spatial_dims, out_channels, self.bins, self.norm, self.act, self.mode)
        return nn.Sequential(OrderedDict(convolutions=stage, pooling=pooling))
