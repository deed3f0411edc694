"""The U-Net of SSHN (section 4.4 and A.1) and Amortized (section 4), with a continuous rescaling factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

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

    Args:
        spatial_dims: 2 or 3 (1 works too).
        in_channels: channels of the images.
        out_channels: channels of the logits.
        features: channels of the encoder stages, first to last; their number is the number of stages. The paper has
            five of 32; Amortized uses (16, 32, 64, 128, 256).
        decoder_features: channels of the decoder stages, deepest first, one fewer than ``features``. Default: as the
            encoder stage of the same level; Amortized uses (32, 16, 8, 4).
        convolutions: convolutions per stage.
        kernel_size: odd size of the kernels.
        norm: ``"group"`` (default), ``"instance"`` or ``None`` as in the paper.
        act: activation, by MONAI's names.
        dropout: probability, or MONAI's ``(name, options)``.
        mode: ``linear`` or ``nearest`` resizing.
        rounding: rounding of ``φ·n``: ``nearest``, ``ceil`` or ``floor``.
        rescale_input: whether the image itself is rescaled first, by a factor of its own: see
            :class:`ScaleSpaceNetwork`.
        patch_size: edge of the patches of voxels that the first stage sees as one voxel of more channels, see
            :class:`InPatches`. 2 leaves it an eighth of a volume's voxels: the cost of a network then goes by φ.

    Raises:
        ValueError: if an argument is out of range.

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
