"""Converters of MONAI's ``BasicUNet`` and ``BasicUNetPlusPlus``."""

from __future__ import annotations

import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, keeps
from monai_hyperscale.networks.conversion.layers import MergingUp
from monai_hyperscale.networks.conversion.stages import staged

__all__: list[str] = []

keeps(TwoConv, Down)
# The ``Down`` blocks are made one after the other, before all that goes up.
staged(BasicUNet, BasicUNetPlusPlus)


@converts(UpCat)
def convert_upcat(module: UpCat, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the up-sampling, and the convolutions after it."""
    upsample = conversion.upsample(module.upsample, join(name, "upsample"))
    convs = conversion.convert(module.convs, join(name, "convs"), level)
    return MergingUp({"upsample": upsample, "convs": convs}, skip_first=True)
