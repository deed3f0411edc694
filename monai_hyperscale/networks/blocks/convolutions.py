"""The convolution stage of the SSHN U-Net, and how its convolutions start."""

from __future__ import annotations

from typing import Optional, Union

import torch.nn as nn
from monai.networks.layers.factories import Conv
from monai.networks.layers.utils import get_act_layer, get_dropout_layer
from torch.nn.modules.conv import _ConvNd

from monai_hyperscale.networks.layers.norm import normalization


class ConvolutionStage(nn.Sequential):
    """Convolutions that keep the spatial size, each followed by normalisation, activation and dropout.

    Args:
        spatial_dims: 1, 2 or 3.
        in_channels: channels in.
        out_channels: channels out, of every convolution.
        convolutions: how many; the paper has two (SSHN section 4.4).
        kernel_size: odd size of the kernels.
        norm: see :func:`~monai_hyperscale.networks.layers.normalization`.
        act: activation, by MONAI's names.
        dropout: probability, or MONAI's ``(name, options)``; ``None`` for none.

    Example:
        >>> import torch
        >>> ConvolutionStage(2, 1, 8)(torch.zeros(1, 1, 5, 7)).shape
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
        super().__init__()
        for index in range(convolutions):
            channels = in_channels if index == 0 else out_channels
            conv = Conv[Conv.CONV, spatial_dims](channels, out_channels, kernel_size, padding=kernel_size // 2)
            initialize(conv)
            self.add_module(f"conv{index}", conv)
            if norm is not None:
                self.add_module(f"norm{index}", normalization(norm, out_channels))
            self.add_module(f"act{index}", get_act_layer(act))
            if dropout is not None:
                self.add_module(f"dropout{index}", get_dropout_layer(dropout, dropout_dim=spatial_dims))


def initialize(module: nn.Module) -> None:
    """Initialise the convolutions of ``module`` as the paper says: Kaiming, zero biases (SSHN section 3)."""
    for conv in module.modules():
        if isinstance(conv, _ConvNd):
            nn.init.kaiming_normal_(conv.weight, a=0.01, nonlinearity="leaky_relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
