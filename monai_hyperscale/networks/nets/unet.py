"""The U-Net of SSHN (section 4.4 and A.1) and Amortized (section 4), with a continuous rescaling factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage
from monai_hyperscale.networks.layers.resize import VariableResize, interpolation_mode, resize_like
from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork

__all__ = ["ScaleSpaceUNet"]


class _UNetBody(nn.Module):
    """Encoder, decoder and final convolution; the factor is known to the resize layers only."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        decoder_features: Sequence[int],
        mode: str,
        rounding: str,
        options: dict,
    ) -> None:
        super().__init__()
        self.mode = interpolation_mode(mode, spatial_dims)
        self.encoder = nn.ModuleList()
        self.down = nn.ModuleList()
        self.decoder = nn.ModuleList()
        channels = in_channels
        for width in features:
            self.encoder.append(ConvolutionStage(spatial_dims, channels, width, **options))
            channels = width
        for level in range(len(features) - 1):
            self.down.append(VariableResize(spatial_dims, level, mode, rounding))
        for width, skip in zip(decoder_features, reversed(features[:-1]), strict=True):
            self.decoder.append(ConvolutionStage(spatial_dims, channels + skip, width, **options))
            channels = width
        self.final = Conv[Conv.CONV, spatial_dims](channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # An inner loop finds the resize layer of a stage, because TorchScript indexes no module list by a variable.
        skips: list[torch.Tensor] = []
        for index, stage in enumerate(self.encoder):
            if index > 0:
                skips.append(x)
                for level, down in enumerate(self.down):
                    if level == index - 1:
                        x = down(x)
            x = stage(x)
        for stage in self.decoder:
            skip = skips.pop()
            x = stage(torch.cat([resize_like(x, skip, self.mode), skip], dim=1))
        return self.final(x)


class ScaleSpaceUNet(ScaleSpaceNetwork):
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

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> net = ScaleSpaceUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
        >>> net(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 32, 32, 32, 32),
        decoder_features: Optional[Sequence[int]] = None,
        convolutions: int = 2,
        kernel_size: int = 3,
        norm: Optional[Union[str, tuple]] = "group",
        act: Union[str, tuple] = "leakyrelu",
        dropout: Optional[Union[float, str, tuple]] = None,
        mode: str = "linear",
        rounding: str = "nearest",
    ) -> None:
        if spatial_dims not in (1, 2, 3):
            raise ValueError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims!r}.")
        if len(features) < 2 or min(features) < 1:
            raise ValueError(f"features needs at least two stages of at least one channel, got {tuple(features)}.")
        if decoder_features is None:
            decoder_features = tuple(reversed(features[:-1]))
        if len(decoder_features) != len(features) - 1 or min(decoder_features) < 1:
            raise ValueError(
                f"decoder_features must name {len(features) - 1} stages of at least one channel, one stage fewer than "
                f"features, got {tuple(decoder_features)}."
            )
        if convolutions < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"convolutions must be at least 1 and kernel_size odd, got {convolutions} and {kernel_size}."
            )
        options = {
            "convolutions": convolutions,
            "kernel_size": kernel_size,
            "norm": norm,
            "act": act,
            "dropout": dropout,
        }
        super().__init__(
            _UNetBody(spatial_dims, in_channels, out_channels, features, decoder_features, mode, rounding, options)
        )
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
