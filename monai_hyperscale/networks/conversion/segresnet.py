"""Converters of MONAI's ``SegResNet``."""

from __future__ import annotations

from typing import NoReturn

import torch
import torch.nn as nn
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets import SegResNet, SegResNetVAE

from monai_hyperscale.networks.conversion.place import Place, converts, keeps

__all__ = ["MergingSegResNet"]

keeps(ResBlock)


class MergingSegResNet(nn.Module):
    """A ``SegResNet`` that up-samples to the sizes of its skip connections.

    Args:
        network: whose parts, converted, are taken over under their names.
    """

    def __init__(self, network: SegResNet) -> None:
        super().__init__()
        self.convInit = network.convInit
        self.down_layers = network.down_layers
        self.up_layers = network.up_layers
        self.up_samples = network.up_samples
        self.conv_final = network.conv_final if network.use_conv_final else nn.Identity()
        self.dropout = network.dropout if network.dropout_prob is not None else nn.Identity()
        self.training = network.training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to logits (B, classes, *sizes)."""
        x = self.dropout(self.convInit(x))
        skips: list[torch.Tensor] = []
        for down in self.down_layers:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for up, layer in zip(self.up_samples, self.up_layers):  # noqa: B905 (TorchScript knows no strict)
            skip = skips.pop()
            x = layer(up[1](up[0](x), skip) + skip)
        return self.conv_final(x)


@converts(SegResNet)
def convert_segresnet(place: Place) -> nn.Module:
    """Make the strided convolutions the levels."""
    network = place.module
    place.convert(*(part for part in ("convInit", "up_layers", "conv_final", "dropout") if hasattr(network, part)))
    place.child("down_layers").stages()
    for index in range(len(network.up_samples)):
        up = place.child(f"up_samples.{index}")
        # A list, since the network calls its parts one by one.
        network.up_samples[index] = nn.ModuleList([up.child("0").converted(), up.child("1").upsample()])
    if not network.use_conv_final:
        place.child("conv_final").left_out("the network is built with use_conv_final=False")
    return MergingSegResNet(network)


@converts(SegResNetVAE)
def refuse_segresnet_vae(place: Place) -> NoReturn:
    """Say why the variational branch cannot go by φ."""
    raise place.error("its variational branch is built for images of one size; convert a SegResNet, which has none")
