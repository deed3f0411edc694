"""Converters of MONAI's ``ResNet`` and ``EfficientNet``, classifiers and encoders, and of ``FlexibleUNet`` on them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.efficientnet import EfficientNet, EfficientNetBNFeatures, MBConvBlock
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck, ResNetFeatures

from monai_hyperscale.networks.conversion.conversion import strided
from monai_hyperscale.networks.conversion.layers import TakenOver, UpBlock
from monai_hyperscale.networks.conversion.place import RESIZED, Place, converts

# Of EfficientNet's classifier; an encoder does not run it.
_HEAD = ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc")


class _PaddedShortcut(nn.Module):
    """MONAI's shortcut of type A: every s-th voxel, with channels of zeros for those that it lacks."""

    def __init__(self, pool: nn.Module, channels: int) -> None:
        super().__init__()
        self.pool = pool
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(x)
        return F.pad(x, [0, 0] * (x.dim() - 2) + [0, self.channels - x.shape[1]])


@converts(ResNetBlock, ResNetBottleneck)
def _resnet_block(place: Place) -> nn.Module:
    block = place.module
    children = [child for child, _ in block.named_children()]
    shortcut = block.downsample
    if isinstance(shortcut, partial):  # of type A, which is no module but a function bound to the network
        dims, stride = shortcut.keywords["spatial_dims"], shortcut.keywords["stride"]
        pool: nn.Module = nn.Identity()
        if stride > 1:
            pool = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[dims - 1](1, stride)
            place.conversion.note("Gradients pass through the shortcuts of type A, where MONAI detaches them.")
        del block.downsample
        block.downsample = pool
        place.convert("downsample")
        block.downsample = _PaddedShortcut(block.downsample, shortcut.keywords["planes"])
    return place.convert(*children)


@converts(ResNet, ResNetFeatures)
def _resnet(place: Place) -> nn.Module:
    network = place.module
    if not place.name and isinstance(network, ResNetFeatures):
        place.conversion.returns_features = True
    if network.no_max_pool:
        # MONAI builds it all the same, and leaves it out.
        network.maxpool = nn.Identity()
    place.stages("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    if network.fc is not None:
        place.conversion.claim(network.fc)  # it comes after global pooling
    return place.convert(*(child for child in ("bn1", "act", "avgpool", "fc") if getattr(network, child) is not None))


@converts(MBConvBlock)
def _mbconv(place: Place) -> nn.Module:
    return _convert_padded(place, "_depthwise_conv")


@converts(EfficientNet)
def _efficientnet(place: Place) -> nn.Module:
    stem = int(strided(place.module._conv_stem))
    _convert_padded(place, "_conv_stem")
    place.child("_blocks", place.level + stem).stages()
    return place.module


@converts(EfficientNetBNFeatures)
def _efficientnet_features(place: Place) -> nn.Module:
    place.conversion.returns_features = not place.name
    for child in _HEAD:
        place.child(child).left_out("of the classifier's head, which an encoder does not run")
        delattr(place.module, child)
    return _efficientnet(place)


def _convert_padded(place: Place, name: str) -> nn.Module:
    # MONAI pads in a layer of its own, by what "same" padding is for the size that the network was planned for; for
    # sizes that the stride divides it leaves the same size whatever that was. The resize comes before it.
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


class _ImageSizedFlexibleUNet(TakenOver):
    """A ``FlexibleUNet`` whose decoder, of one block more than there are skip connections, ends at the image's size."""

    def __init__(self, network: FlexibleUNet, blocks: nn.ModuleList) -> None:
        super().__init__(network, "encoder")
        self.decoder: Any = nn.Module()
        self.decoder.blocks = blocks
        self.segmentation_head = network.segmentation_head

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.encoder(inputs)
        sizes = [inputs] + features[:-1]
        x = features[-1]
        for block in self.decoder.blocks:
            x = block(x, sizes.pop())
        return self.segmentation_head(x)


@converts(FlexibleUNet)
def _flexible_unet(place: Place) -> nn.Module:
    network, blocks = place.module, place.child("decoder.blocks")
    skips, count = network.skip_connect, len(blocks.module)
    place.convert("encoder")
    if count != skips + 1:
        raise blocks.error(f"{count} blocks for {skips} skip connections do not lead to the image")
    blocks.convert(*map(str, range(skips)))
    last = blocks.child(str(skips))
    parts = {"upsample": last.child("upsample").upsample(), "convs": last.child("convs").converted()}
    blocks.module[skips] = UpBlock(parts)
    place.convert("segmentation_head")
    return _ImageSizedFlexibleUNet(network, blocks.module)
