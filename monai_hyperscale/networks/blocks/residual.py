"""The stage of the Residual U-Net."""

from __future__ import annotations

from typing import Optional, Union

from monai.networks.blocks import ResidualUnit

from monai_hyperscale.networks.blocks.convolutions import initialize
from monai_hyperscale.networks.layers.norm import normalization_name

__all__ = ["ResidualStage"]


class ResidualStage(ResidualUnit):
    """MONAI's residual unit with the norms of a φ-network: convolutions, and the input added to what they return.

    Where the channels change, the input passes a 1×1 convolution. Each convolution is followed by normalisation,
    dropout and activation; nothing follows the sum.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels in.
        out_channels: channels out, of every convolution of the stage.
        convolutions: how many convolutions the residual connection spans.
        kernel_size: odd size of the kernel along every axis.
        norm: see :func:`monai_hyperscale.networks.layers.normalization`.
        act: activation, by MONAI's names.
        dropout: probability, or MONAI's ``(name, options)``; ``None`` for none.

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
        convolutions: int = 2,
        kernel_size: int = 3,
        norm: Optional[Union[str, tuple]] = "group",
        act: Union[str, tuple] = "leakyrelu",
        dropout: Optional[Union[float, str, tuple]] = None,
    ) -> None:
        super().__init__(
            spatial_dims,
            in_channels,
            out_channels,
            kernel_size=kernel_size,
            subunits=convolutions,
            act=act,
            norm=normalization_name(norm, out_channels),
            dropout=dropout,
            dropout_dim=spatial_dims,
        )
        initialize(self)
