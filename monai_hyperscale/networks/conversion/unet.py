"""Converter of MONAI's ``UNet``."""

from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.blocks import Convolution
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets import UNet

from monai_hyperscale.networks.conversion.layers import UpThenLayer
from monai_hyperscale.networks.conversion.place import Place, converts

__all__ = ["UNetLevel"]


class UNetLevel(nn.Sequential):
    """One level of MONAI's ``UNet``, that gives features of its input's size.

    Its parts, as in MONAI's network, are the first layers, the skip connection around the levels below, and the way up,
    of (x, reference).
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes)."""
        return self[2](self[1](self[0](x)), x)


@converts(UNet)
def convert_unet(place: Place) -> nn.Module:
    """Convert the nested levels of the network."""
    place.module.model = _level(place.child("model"))
    return place.module


def _level(place: Place) -> nn.Module:
    parts = list(place.module.children())
    nested = type(place.module) is nn.Sequential and len(parts) == 3 and isinstance(parts[1], SkipConnection)
    if not nested:
        return place.converted()
    skip, up = parts[1], place.child("2")
    # The level of what is below comes from whether the first layers go down.
    skip.submodule = _level(place.child("1.submodule", place.stages("0")))
    down = place.module[0]
    if isinstance(up.module, Convolution):
        return UNetLevel(down, skip, up.transposed())
    if not (type(up.module) is nn.Sequential and isinstance(up.module[0], Convolution) and len(up.module) == 2):
        raise up.error("the up-sampling is not one that MONAI's UNet makes")
    return UNetLevel(down, skip, UpThenLayer(up.child("0").transposed(), up.child("1").converted()))
