"""Converter of MONAI's ``ResidualUnit``."""

from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.blocks import ResidualUnit

from monai_hyperscale.networks.conversion.conversion import CONVS, strided
from monai_hyperscale.networks.conversion.layers import StridedResize
from monai_hyperscale.networks.conversion.place import RESIZED, Place, converts

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
def convert_residual_unit(place: Place) -> nn.Module:
    """Give a strided unit one resize; of others, convert the children."""
    unit = place.module
    convs = [part for part in unit.modules() if isinstance(part, CONVS) and strided(part)]
    for conv in convs:
        place.check_padding(conv)
        place.conversion.claim(conv)
    place.convert("residual", "conv")
    if not convs:
        return unit
    place.replaced(RESIZED, place.level)
    return ResizedResidualUnit(place.resize(convs[0].stride), unit.conv, unit.residual)
