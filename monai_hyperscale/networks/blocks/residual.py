"""The stage of the Residual U-Net."""

from __future__ import annotations

from typing import Any, Optional, Union

from monai.networks.blocks import ResidualUnit

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.norm import normalization_name

__all__ = ["ResidualStage"]


class ResidualStage(ResidualUnit):
    """MONAI's residual unit with the norms of a φ-network: convolutions, and the input added to what they return.

    Where the channels change, the input passes a 1×1 convolution. Each convolution is followed by normalisation,
    dropout and activation; nothing follows the sum. The arguments are those of :class:`ConvolutionStage`, but:

    Args:
        convolutions: how many convolutions the residual connection spans.
        options: further arguments of MONAI's ``ResidualUnit``, such as ``kernel_size`` and ``dropout``.

    Example:
        >>> import torch
        >>> ResidualStage(2, 1, 8)(torch.zeros(1, 1, 5, 7)).shape
        torch.Size([1, 8, 5, 7])
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        convolutions: int = 2,
        norm: Optional[Union[str, tuple]] = "group",
        act: Union[str, tuple] = "leakyrelu",
        **options: Any,
    ) -> None:
        super().__init__(
            spatial_dims,
            in_channels,
            out_channels,
            subunits=convolutions,
            norm=normalization_name(norm, out_channels),
            act=act,
            dropout_dim=spatial_dims,
            **options,
        )
        initialize(self)
