"""Converters of MONAI's ``FlexibleUNet``."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn as nn
from monai.networks.nets import FlexibleUNet

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join
from monai_hyperscale.networks.conversion.layers import UpThenLayer

__all__ = ["ImageSizedDecoder", "ImageSizedFlexibleUNet"]


class ImageSizedDecoder(nn.Module):
    """The decoder of a ``FlexibleUNet``, whose last block goes to the size of the image.

    Args:
        blocks: of (x, reference), one more than there are skip connections.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, features: list[torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        """Merge the encoder's features, fine to coarse, into (B, C, *image sizes)."""
        sizes = [image] + features[:-1]
        x = features[-1]
        for block in self.blocks:
            x = block(x, sizes.pop())
        return x


class ImageSizedFlexibleUNet(nn.Module):
    """A ``FlexibleUNet`` that comes back to the size of the image.

    Args:
        network: whose parts, converted, are taken over under their names.
    """

    def __init__(self, network: FlexibleUNet) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.segmentation_head = network.segmentation_head
        self.training = network.training

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, *sizes) to logits (B, classes, *sizes)."""
        return self.segmentation_head(self.decoder(self.encoder(inputs), inputs))


@converts(FlexibleUNet)
def convert_flexible_unet(module: FlexibleUNet, name: str, level: int, conversion: Conversion) -> nn.Module:
    """Convert the encoder, and a decoder whose first blocks merge with its features, coarse to fine."""
    conversion.convert_child(module, name, "encoder", level)
    blocks: Any = module.decoder.blocks
    where = join(name, "decoder.blocks")
    if len(blocks) != module.skip_connect + 1:
        raise conversion.error(
            where, blocks, f"{len(blocks)} blocks for {module.skip_connect} skip connections do not lead to the image"
        )
    for index, block in enumerate(blocks):
        if index < module.skip_connect:
            conversion.convert_child(blocks, where, str(index), level)
        else:
            inner = join(where, str(index))
            upsample = conversion.upsample(block.upsample, join(inner, "upsample"))
            convs = conversion.convert(block.convs, join(inner, "convs"), level)
            blocks[index] = UpThenLayer(OrderedDict(upsample=upsample, convs=convs))
    module.decoder = ImageSizedDecoder(blocks)  # type: ignore[assignment]
    conversion.convert_child(module, name, "segmentation_head", level)
    return ImageSizedFlexibleUNet(module)
