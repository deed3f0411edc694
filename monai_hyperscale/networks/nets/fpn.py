"""The Feature Pyramid Network of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Optional, Union

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage
from monai_hyperscale.networks.blocks.feature_pyramid import FeaturePyramid
from monai_hyperscale.networks.layers.resize import resize_like
from monai_hyperscale.networks.nets.encoder_decoder import Encoder, Stage, check_stages
from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork

__all__ = ["ScaleSpaceFPN"]


class _FPNBody(Encoder):
    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        width: int,
        kernel_size: int,
        mode: str,
        rounding: str,
        deep_supervision: bool,
        stage: Stage,
    ) -> None:
        super().__init__(spatial_dims, in_channels, features, mode, rounding, stage)
        self.pyramid = FeaturePyramid(spatial_dims, features, width, kernel_size, mode)
        self.heads = nn.ModuleList(Conv[Conv.CONV, spatial_dims](width, out_channels, kernel_size=1) for _ in features)
        self.deep_supervision = deep_supervision

    def predictions(self, x: torch.Tensor) -> list[torch.Tensor]:
        pyramid = self.pyramid(self.encode(x))
        logits: list[torch.Tensor] = []
        for index, head in enumerate(self.heads):
            logits.append(head(pyramid[index]))
        for index in range(len(logits) - 2, -1, -1):
            logits[index] = logits[index] + resize_like(logits[index + 1], logits[index], self.mode)
        return logits

    # No annotation: in TorchScript, which is for inference, it is one map always.
    def forward(self, x):  # type: ignore[no-untyped-def]
        logits = self.predictions(x)
        if not torch.jit.is_scripting():
            if self.training and self.deep_supervision:
                return [resize_like(maps, x, self.mode) for maps in logits]
        return logits[0]


class ScaleSpaceFPN(ScaleSpaceNetwork):
    """A Feature Pyramid Network that down-samples by φ at every level and predicts at every resolution (SSHN C.1).

    The stages of the encoder give a :class:`~monai_hyperscale.networks.blocks.FeaturePyramid` of one width. A 1×1
    convolution turns each of its maps into logits, which are added to those of the next coarser resolution, resized.
    The finest are the prediction. With ``deep_supervision`` and in training the network returns a list: the logits of
    every resolution, finest first, all resized to the image, as MONAI's ``DeepSupervisionLoss`` takes them.

    Args:
        spatial_dims: 2 or 3 (1 works too).
        in_channels: channels of the images.
        out_channels: channels of the logits.
        features: channels of the encoder stages, first to last; their number is the number of stages.
        decoder_features: channels of every map of the pyramid. Default: as the first stage.
        convolutions: convolutions per stage.
        kernel_size: odd size of the kernels.
        norm: ``"group"`` (default), ``"instance"`` or ``None``.
        act: activation, by MONAI's names.
        dropout: probability, or MONAI's ``(name, options)``.
        mode: ``linear`` or ``nearest`` resizing.
        rounding: rounding of ``φ·n``: ``nearest``, ``ceil`` or ``floor``.
        rescale_input: whether the image itself is rescaled first, by a factor of its own: see
            :class:`ScaleSpaceNetwork`.
        deep_supervision: whether to return the logits of every resolution in training, as the paper's network does.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks import ScaleSpaceFPN
        >>> net = ScaleSpaceFPN(3, in_channels=1, out_channels=3, features=(4, 4, 4), deep_supervision=True)
        >>> [tuple(logits.shape) for logits in net(torch.zeros(1, 1, 11, 7, 1), phi=0.3)]
        [(1, 3, 11, 7, 1), (1, 3, 11, 7, 1), (1, 3, 11, 7, 1)]
        >>> net.eval()(torch.zeros(1, 1, 11, 7, 1), phi=0.3).shape
        torch.Size([1, 3, 11, 7, 1])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (32, 32, 32, 32, 32),
        decoder_features: Optional[int] = None,
        convolutions: int = 2,
        kernel_size: int = 3,
        norm: Optional[Union[str, tuple]] = "group",
        act: Union[str, tuple] = "leakyrelu",
        dropout: Optional[Union[float, str, tuple]] = None,
        mode: str = "linear",
        rounding: str = "nearest",
        rescale_input: bool = False,
        deep_supervision: bool = False,
    ) -> None:
        check_stages(spatial_dims, features, convolutions, kernel_size)
        width: Any = features[0] if decoder_features is None else decoder_features
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"decoder_features must be one number of channels, at least 1, got {decoder_features!r}.")
        stage = partial(
            ConvolutionStage,
            spatial_dims,
            convolutions=convolutions,
            kernel_size=kernel_size,
            norm=norm,
            act=act,
            dropout=dropout,
        )
        body = _FPNBody(
            spatial_dims,
            in_channels,
            out_channels,
            features,
            width,
            kernel_size,
            mode,
            rounding,
            deep_supervision,
            stage,
        )
        super().__init__(body, rescale_input)
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
