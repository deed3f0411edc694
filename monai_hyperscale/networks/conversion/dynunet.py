"""Converters of MONAI's ``DynUNet``, the U-Net that nnU-Net plans."""

from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetResBlock, UnetUpBlock
from monai.networks.nets import DynUNet

from monai_hyperscale.networks.conversion.layers import MergingUp
from monai_hyperscale.networks.conversion.place import Place, converts, keeps
from monai_hyperscale.networks.layers.resize import resize_like

__all__ = ["StagedDynUNet"]

keeps(UnetBasicBlock, UnetResBlock, UnetOutBlock)


class StagedDynUNet(nn.Module):
    """The stages of a ``DynUNet``, run in a loop.

    MONAI nests them in skip layers that write the outputs of the supervision heads into a list they share. Here
    ``forward`` holds them, so two threads do not meet; in evaluation, where nobody sees them, they are not computed.

    Args:
        network: whose stages, converted, are taken over under their names.
    """

    def __init__(self, network: DynUNet) -> None:
        super().__init__()
        self.input_block = network.input_block
        self.downsamples = network.downsamples
        self.bottleneck = network.bottleneck
        self.upsamples = network.upsamples
        self.output_block = network.output_block
        self.deep_supervision_heads = network.deep_supervision_heads if network.deep_supervision else nn.ModuleList()
        self.training = network.training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to logits (B, classes, *sizes).

        With deep supervision, in training: (B, 1 + heads, classes, *sizes), the logits first, then those of the
        supervision heads from fine to coarse, each resized to the size of the logits by nearest neighbours.
        """
        x = self.input_block(x)
        skips = [x]
        for down in self.downsamples:
            x = down(x)
            skips.append(x)
        x = self.bottleneck(x)
        coarse: list[torch.Tensor] = []
        for index, up in enumerate(self.upsamples):
            x = up(x, skips.pop())
            if self.training:
                # An inner loop finds the head of a stage, because TorchScript indexes no module list by a variable.
                for depth, head in enumerate(self.deep_supervision_heads):
                    if depth == len(self.upsamples) - 2 - index:
                        coarse.append(head(x))
        logits = self.output_block(x)
        if len(coarse) == 0:
            return logits
        maps = [logits]
        while len(coarse) > 0:
            maps.append(resize_like(coarse.pop(), logits, "nearest-exact"))
        return torch.stack(maps, dim=1)


@converts(UnetUpBlock)
def convert_up_block(place: Place) -> nn.Module:
    """Convert the transposed convolution, and the block after it."""
    up, block = place.child("transp_conv").transposed(), place.child("conv_block").converted()
    return MergingUp({"transp_conv": up, "conv_block": block}, skip_first=False)


@converts(DynUNet)
def convert_dynunet(place: Place) -> nn.Module:
    """Give every stage whose strides are not all 1 a level, and drop the second names that skip layers give."""
    place.child("skip_layers").left_out("a second name of a tensor that is there already")
    network = place.module
    del network.skip_layers
    level = place.stages("input_block")
    if level > place.level:
        place.conversion.note("The output is of the size that the first stage leaves, as the original's is.")
    level = place.child("downsamples", level).stages()
    place.convert("bottleneck", level=level)
    place.convert(*(part for part in ("upsamples", "output_block", "deep_supervision_heads") if hasattr(network, part)))
    return StagedDynUNet(network)
