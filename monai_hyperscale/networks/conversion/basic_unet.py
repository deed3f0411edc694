"""Converters of MONAI's ``BasicUNet`` and ``BasicUNetPlusPlus``."""

from __future__ import annotations

import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

from monai_hyperscale.networks.conversion.layers import MergingUp
from monai_hyperscale.networks.conversion.place import Place, converts, keeps, staged

__all__: list[str] = []

keeps(TwoConv, Down)
# The ``Down`` blocks are made one after the other, before all that goes up.
staged(BasicUNet, BasicUNetPlusPlus)


@converts(UpCat)
def convert_upcat(place: Place) -> nn.Module:
    """Convert the up-sampling, and the convolutions after it."""
    parts = {"upsample": place.child("upsample").upsample(), "convs": place.child("convs").converted()}
    return MergingUp(parts, skip_first=True)
