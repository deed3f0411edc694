"""Converters of MONAI's ``EfficientNet``: the classifier, and the encoder of ``FlexibleUNet``."""

from __future__ import annotations

from typing import Any

import torch.nn as nn
from monai.networks.nets.efficientnet import EfficientNet, EfficientNetBNFeatures, MBConvBlock

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join, strided
from monai_hyperscale.networks.conversion.stages import convert_stages

__all__: list[str] = []

_HEAD = ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc")


@converts(MBConvBlock)
def convert_mbconv(module: MBConvBlock, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the children; the resize comes before the padding of the strided convolution."""
    _convert_padded(module, name, "_depthwise_conv", level, conversion)
    return module


@converts(EfficientNet)
def convert_efficientnet(module: EfficientNet, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Make the first convolution and the strided stacks of blocks the levels."""
    stem = int(strided(module._conv_stem))
    _convert_padded(module, name, "_conv_stem", level, conversion)
    convert_stages(conversion, module._blocks, join(name, "_blocks"), level + stem)
    return module


@converts(EfficientNetBNFeatures)
def convert_features(module: EfficientNetBNFeatures, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert as the classifier, without its head, which the features do not need."""
    conversion.returns_features = not name
    for child in _HEAD:
        conversion.left_out(
            getattr(module, child), join(name, child), "of the classifier's head, which an encoder does not run"
        )
        delattr(module, child)
    return convert_efficientnet(module, name, level, conversion)


def _convert_padded(module: nn.Module, name: str, conv: str, level: int, conversion: Conversion) -> None:
    # MONAI pads in a layer of its own, by what "same" padding is for the size that the network was planned for; for
    # sizes that the stride divides it leaves the same size whatever that was.
    layer: Any = module._modules[conv]
    # The padding before each convolution keeps the size, and the linear layer comes after global pooling.
    conversion.claim(layer, *(part for child, part in module.named_children() if child.endswith("_padding")))
    if hasattr(module, "_fc"):
        conversion.claim(module._fc)  # type: ignore[arg-type]
    if strided(layer):
        conversion.replaced(
            join(name, conv), layer, f"resize to a multiple of the stride that phi gives (level {level}), then the same"
        )
    for child in [child for child, _ in module.named_children() if child != "_blocks"]:
        conversion.convert_child(module, name, child, level)
    if strided(layer):
        padding = f"{conv}_padding"
        module._modules[padding] = nn.Sequential(conversion.resize(layer.stride, level), module._modules[padding])  # type: ignore[arg-type]
