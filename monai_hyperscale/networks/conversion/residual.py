"""Converter of MONAI's ``ResidualUnit``."""

from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.blocks import ResidualUnit

from monai_hyperscale.networks.conversion.conversion import RESIZED, Conversion, converts, strided
from monai_hyperscale.networks.conversion.layers import StridedResize

__all__ = ["ResizedResidualUnit"]


class ResizedResidualUnit(nn.Module):
    """MONAI's strided ``ResidualUnit``, its input resized once for the convolutions and the shortcut.

    Args:
        resize: to sizes that the stride of both divides.
        conv: the convolutions.
        residual: the shortcut.
    """

    def __init__(self, resize: StridedResize, conv: nn.Module, residual: nn.Module) -> None:
        super().__init__()
        self.resize = resize
        self.conv = conv
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *rescaled sizes)."""
        x = self.resize(x)
        return self.conv(x) + self.residual(x)


@converts(ResidualUnit)
def convert_residual_unit(module: ResidualUnit, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Give a strided unit one resize; of others, convert the children."""
    convs = [part for part in module.modules() if isinstance(part, nn.modules.conv._ConvNd) and strided(part)]
    for conv in convs:
        conversion.check_padding(conv, name)
        conversion.claim(conv)
    conversion.convert_child(module, name, "residual", level)
    conversion.convert_child(module, name, "conv", level)
    if not convs:
        return module
    conversion.replaced(name, module, RESIZED, level)
    return ResizedResidualUnit(conversion.resize(convs[0].stride, level), module.conv, module.residual)
