"""The Feature Pyramid Network of SSHN (C.1), with a continuous rescaling factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import torch
import torch.nn as nn
from monai.networks.layers.factories import Conv

from monai_hyperscale.networks.blocks.pyramids import FeaturePyramid
from monai_hyperscale.networks.layers.resize import resize_like
from monai_hyperscale.networks.nets.encoder import Encoder, EncoderNetwork


class _FPNBody(Encoder):
    def __init__(self, network: ScaleSpaceFPN, width: int) -> None:
        super().__init__(network, network.in_channels)
        dims, features = network.spatial_dims, network.features
        self.pyramid = FeaturePyramid(dims, features, width, network.kernel_size, network.mode)
        self.heads = nn.ModuleList(Conv[Conv.CONV, dims](width, network.out_channels, kernel_size=1) for _ in features)
        self.deep_supervision = network.deep_supervision

    # No annotation: in TorchScript, which is for inference, it is one map always.
    def forward(self, x):  # type: ignore[no-untyped-def]
        pyramid = self.pyramid(self.encode(x))
        logits = []
        for index, head in enumerate(self.heads):
            logits.append(head(pyramid[index]))
        for index in range(len(logits) - 2, -1, -1):
            logits[index] = logits[index] + resize_like(logits[index + 1], logits[index], self.mode)
        if not torch.jit.is_scripting():
            if self.training and self.deep_supervision:
                return [resize_like(maps, x, self.mode) for maps in logits]
        return logits[0]


@dataclass(eq=False, repr=False)
class ScaleSpaceFPN(EncoderNetwork):
    """A Feature Pyramid Network that down-samples by φ at every level and predicts at every resolution (SSHN C.1).

    The stages of the encoder give a :class:`~monai_hyperscale.networks.blocks.FeaturePyramid`. A 1×1 convolution turns
    each of its maps into logits, which are added to those of the next coarser resolution, resized; the finest are the
    prediction.

    Args:
        decoder_features: channels of every map of the pyramid. Default: as the first stage.
        deep_supervision: whether it returns, in training and as the paper's, a list: the logits of every resolution,
            finest first, resized to the image, as MONAI's ``DeepSupervisionLoss`` takes them. All other arguments are
            those of :class:`ScaleSpaceUNet`, without ``patch_size``.

    Example:
        >>> net = ScaleSpaceFPN(3, in_channels=1, out_channels=3, features=(4, 4, 4), deep_supervision=True)
        >>> [tuple(logits.shape) for logits in net(torch.zeros(1, 1, 11, 7, 1), phi=0.3)]
        [(1, 3, 11, 7, 1), (1, 3, 11, 7, 1), (1, 3, 11, 7, 1)]
    """

    decoder_features: Optional[int] = None
    deep_supervision: bool = False

    def make_body(self) -> nn.Module:
        width: Any = self.features[0] if self.decoder_features is None else self.decoder_features
        if not isinstance(width, int) or width < 1:
            raise ValueError(f"decoder_features must be one number of channels, at least 1, got {width!r}.")
        return _FPNBody(self, width)
