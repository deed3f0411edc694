"""What the architectures of this package share: the encoder, the U-Net around it, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.layers.patches import InPatches
from monai_hyperscale.networks.layers.resize import VariableResize, interpolation_mode, resize_like
from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork

__all__ = ["Encoder", "EncoderDecoder", "Stage", "check_stages"]

#: Makes a stage of the network from its channels in and out.
Stage = Callable[[int, int], nn.Module]


def check_stages(spatial_dims: int, features: Sequence[int], convolutions: int, kernel_size: int) -> None:
    """Check the arguments that every architecture has.

    Raises:
        ValueError: if one is out of range.

    Example:
        >>> check_stages(2, features=(8, 8), convolutions=2, kernel_size=3)
    """
    if spatial_dims not in (1, 2, 3):
        raise ValueError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims!r}.")
    if len(features) < 2 or min(features) < 1:
        raise ValueError(f"features needs at least two stages of at least one channel, got {tuple(features)}.")
    if convolutions < 1 or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"convolutions must be at least 1 and kernel_size odd, got {convolutions} and {kernel_size}.")


class Encoder(nn.Module):
    """Stages with a :class:`VariableResize` between any two; the factor is known to these only.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the images.
        features: channels of the stages, first to last.
        mode: ``linear`` or ``nearest`` resizing.
        rounding: rounding of ``φ·n``.
        stage: makes a stage.

    Example:
        >>> from monai_hyperscale.networks.layers import rescaling_factor
        >>> encoder = Encoder(2, 1, (4, 8), "linear", "nearest", lambda channels, width: nn.Conv2d(channels, width, 1))
        >>> with rescaling_factor(0.3):
        ...     [tuple(maps.shape) for maps in encoder.encode(torch.zeros(1, 1, 10, 7))]
        [(1, 4, 10, 7), (1, 8, 3, 2)]
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        mode: str,
        rounding: str,
        stage: Stage,
    ) -> None:
        super().__init__()
        self.mode = interpolation_mode(mode, spatial_dims)
        self.encoder = nn.ModuleList()
        self.down = nn.ModuleList()
        channels = in_channels
        for width in features:
            self.encoder.append(stage(channels, width))
            channels = width
        for level in range(len(features) - 1):
            self.down.append(VariableResize(spatial_dims, level, mode, rounding))

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return what each stage makes of the images (B, C, *sizes): (B, C_l, *sizes_l), finest first."""
        # An inner loop finds the resize layer of a stage, because TorchScript indexes no module list by a variable.
        maps: list[torch.Tensor] = []
        for index, stage in enumerate(self.encoder):
            for level, down in enumerate(self.down):
                if level == index - 1:
                    x = down(x)
            x = stage(x)
            maps.append(x)
        return maps


class _UNetBody(Encoder):
    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        decoder_features: Sequence[int],
        mode: str,
        rounding: str,
        encoder_stage: Stage,
        decoder_stage: Stage,
    ) -> None:
        super().__init__(spatial_dims, in_channels, features, mode, rounding, encoder_stage)
        self.decoder = nn.ModuleList()
        channels = features[-1]
        for width, skip in zip(decoder_features, reversed(features[:-1]), strict=True):
            self.decoder.append(decoder_stage(channels + skip, width))
            channels = width
        self.final = Conv[Conv.CONV, spatial_dims](channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = self.encode(x)
        x = skips.pop()
        for stage in self.decoder:
            skip = skips.pop()
            x = stage(torch.cat([resize_like(x, skip, self.mode), skip], dim=1))
        return self.final(x)


class EncoderDecoder(ScaleSpaceNetwork):
    """A U-Net of given stages: what :class:`ScaleSpaceUNet` and its relatives build, by one stage or another.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels of the images.
        out_channels: channels of the logits.
        features: channels of the encoder stages, first to last.
        decoder_features: channels of the decoder stages, deepest first; default: as the encoder's.
        mode: ``linear`` or ``nearest`` resizing.
        rounding: rounding of ``φ·n``.
        rescale_input: see :class:`ScaleSpaceNetwork`.
        patch_size: of the patches that the first stage sees as voxels, see :class:`InPatches`; 1 for the image itself.
        encoder_stage: makes a stage of the encoder.
        decoder_stage: makes a stage of the decoder, from the channels of the stage below and of the skip connection.

    Raises:
        ValueError: if ``decoder_features`` does not fit ``features``, or ``patch_size`` is below 1.

    Example:
        >>> net = EncoderDecoder(2, 1, 3, (4, 4), encoder_stage=lambda channels, width: nn.Conv2d(channels, width, 1))
        >>> net(torch.zeros(1, 1, 10, 7), phi=0.3).shape
        torch.Size([1, 3, 10, 7])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        decoder_features: Optional[Sequence[int]] = None,
        mode: str = "linear",
        rounding: str = "nearest",
        rescale_input: bool = False,
        patch_size: int = 1,
        *,
        encoder_stage: Stage,
        decoder_stage: Optional[Stage] = None,
    ) -> None:
        if decoder_features is None:
            decoder_features = tuple(reversed(features[:-1]))
        if len(decoder_features) != len(features) - 1 or min(decoder_features) < 1:
            raise ValueError(
                f"decoder_features must name {len(features) - 1} stages of at least one channel, one stage fewer than "
                f"features, got {tuple(decoder_features)}."
            )
        if isinstance(patch_size, bool) or not isinstance(patch_size, int) or patch_size < 1:
            raise ValueError(f"patch_size must be a whole number of voxels, at least 1, got {patch_size!r}.")
        voxels = patch_size**spatial_dims
        body: nn.Module = _UNetBody(
            spatial_dims,
            in_channels * voxels,
            out_channels * voxels,
            features,
            decoder_features,
            mode,
            rounding,
            encoder_stage,
            decoder_stage or encoder_stage,
        )
        if patch_size > 1:
            body = InPatches(body, patch_size)
        super().__init__(body, rescale_input)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
