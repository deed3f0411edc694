"""Converters of MONAI's ``EfficientNet``: the classifier, and the encoder of ``FlexibleUNet``."""

from __future__ import annotations

import torch.nn as nn
from monai.networks.nets.efficientnet import EfficientNet, EfficientNetBNFeatures, MBConvBlock

from monai_hyperscale.networks.conversion.conversion import strided
from monai_hyperscale.networks.conversion.place import RESIZED, Place, converts

__all__: list[str] = []

_HEAD = ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc")


@converts(MBConvBlock)
def convert_mbconv(place: Place) -> nn.Module:
    """Convert the children; the resize comes before the padding of the strided convolution."""
    return _convert_padded(place, "_depthwise_conv")


@converts(EfficientNet)
def convert_efficientnet(place: Place) -> nn.Module:
    """Make the first convolution and the strided stacks of blocks the levels."""
    stem = int(strided(place.module._conv_stem))
    _convert_padded(place, "_conv_stem")
    place.child("_blocks", place.level + stem).stages()
    return place.module


@converts(EfficientNetBNFeatures)
def convert_features(place: Place) -> nn.Module:
    """Convert as the classifier, without its head, which the features do not need."""
    place.conversion.returns_features = not place.name
    for child in _HEAD:
        place.child(child).left_out("of the classifier's head, which an encoder does not run")
        delattr(place.module, child)
    return convert_efficientnet(place)


def _convert_padded(place: Place, name: str) -> nn.Module:
    # MONAI pads in a layer of its own, by what "same" padding is for the size that the network was planned for; for
    # sizes that the stride divides it leaves the same size whatever that was.
    module, conv = place.module, place.child(name)
    # The padding before each convolution keeps the size, and the linear layer comes after global pooling.
    padding = [part for child, part in module.named_children() if child.endswith("_padding")]
    place.conversion.claim(conv.module, *padding, *([module._fc] if hasattr(module, "_fc") else []))
    if strided(conv.module):
        conv.replaced(RESIZED, place.level)
    place.convert(*(child for child, _ in module.named_children() if child != "_blocks"))
    if strided(conv.module):
        before = place.resize(conv.module.stride)
        module._modules[f"{name}_padding"] = nn.Sequential(before, module._modules[f"{name}_padding"])
    return module
