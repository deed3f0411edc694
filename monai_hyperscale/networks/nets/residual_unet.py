"""The Residual U-Net of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Optional, Union

from monai_hyperscale.networks.blocks.residual import ResidualStage
from monai_hyperscale.networks.nets.encoder_decoder import EncoderDecoder, check_stages

__all__ = ["ScaleSpaceResidualUNet"]


class ScaleSpaceResidualUNet(EncoderDecoder):
    """A :class:`ScaleSpaceUNet` whose stages are MONAI's residual units (SSHN C.1).

    Args:
        spatial_dims: 2 or 3 (1 works too).
        in_channels: channels of the images.
        out_channels: channels of the logits.
        features: channels of the encoder stages, first to last; their number is the number of stages.
        decoder_features: channels of the decoder stages, deepest first, one fewer than ``features``. Default: as the
            encoder stage of the same level.
        convolutions: convolutions per stage, which its residual connection spans.
        kernel_size: odd size of the kernels.
        norm: ``"group"`` (default), ``"instance"`` or ``None``.
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
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceResidualUNet
        >>> net = ScaleSpaceResidualUNet(spatial_dims=3, in_channels=1, out_channels=3, features=(4, 4, 4))
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
        rescale_input: bool = False,
        patch_size: int = 1,
    ) -> None:
        check_stages(spatial_dims, features, convolutions, kernel_size)
        stage = partial(
            ResidualStage,
            spatial_dims,
            convolutions=convolutions,
            kernel_size=kernel_size,
            norm=norm,
            act=act,
            dropout=dropout,
        )
        super().__init__(
            spatial_dims,
            in_channels,
            out_channels,
            features,
            decoder_features,
            mode,
            rounding,
            rescale_input,
            patch_size,
            encoder_stage=stage,
        )
