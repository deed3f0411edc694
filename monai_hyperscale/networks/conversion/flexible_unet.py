"""Converters of MONAI's ``FlexibleUNet``."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn as nn
from monai.networks.nets import FlexibleUNet

from monai_hyperscale.networks.conversion.layers import UpThenLayer
from monai_hyperscale.networks.conversion.place import Place, converts

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
def convert_flexible_unet(place: Place) -> nn.Module:
    """Convert the encoder, and a decoder whose first blocks merge with its features, coarse to fine."""
    network, blocks = place.module, place.child("decoder.blocks")
    skips, count = network.skip_connect, len(blocks.module)
    place.convert("encoder")
    if count != skips + 1:
        raise blocks.error(f"{count} blocks for {skips} skip connections do not lead to the image")
    blocks.convert(*map(str, range(skips)))
    last = blocks.child(str(skips))
    upsample, convs = last.child("upsample").upsample(), last.child("convs").converted()
    blocks.module[skips] = UpThenLayer(OrderedDict(upsample=upsample, convs=convs))
    network.decoder = ImageSizedDecoder(blocks.module)
    place.convert("segmentation_head")
    return ImageSizedFlexibleUNet(network)
