"""Converters of MONAI's U-Nets whose stages stand in a row: ``BasicUNet``, ``DynUNet``, ``SegResNet``, ``VNet``."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
import torch.nn as nn
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetOutBlock, UnetResBlock, UnetUpBlock
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus, DynUNet, SegResNet, SegResNetVAE, VNet
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from monai.networks.nets.vnet import DownTransition, InputTransition, LUConv, OutputTransition, UpTransition

from monai_hyperscale.networks.conversion.layers import TakenOver, UpBlock
from monai_hyperscale.networks.conversion.place import Place, converts, keeps, staged
from monai_hyperscale.networks.layers.resize import resize_like

keeps(TwoConv, Down, UnetBasicBlock, UnetResBlock, UnetOutBlock, ResBlock)
keeps(InputTransition, LUConv, DownTransition, OutputTransition)
# In the order in which BasicUNet makes them, all that goes down comes before what goes up.
staged(BasicUNet, BasicUNetPlusPlus, VNet)


@converts(UpCat)
def _upcat(place: Place) -> nn.Module:
    parts = {"upsample": place.child("upsample").upsample(), "convs": place.child("convs").converted()}
    return UpBlock(parts, "first")


@converts(UnetUpBlock)
def _dynunet_up(place: Place) -> nn.Module:
    up, block = place.child("transp_conv").transposed(), place.child("conv_block").converted()
    return UpBlock({"transp_conv": up, "conv_block": block}, "last")


class _StagedDynUNet(TakenOver):
    """The stages of a ``DynUNet`` in a loop, where MONAI's skip layers share a list that two threads would meet in."""

    def __init__(self, network: DynUNet) -> None:
        super().__init__(network, "input_block", "downsamples", "bottleneck", "upsamples", "output_block")
        self.deep_supervision_heads = network.deep_supervision_heads if network.deep_supervision else nn.ModuleList()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # With deep supervision, in training: (B, 1 + heads, classes, *sizes), the logits first, then those of the
        # heads from fine to coarse, each resized to the size of the logits by nearest neighbours.
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


@converts(DynUNet)
def _dynunet(place: Place) -> nn.Module:
    place.child("skip_layers").left_out("a second name of a tensor that is there already")
    network = place.module
    del network.skip_layers
    level = place.stages("input_block")
    if level > place.level:
        place.conversion.note("The output is of the size that the first stage leaves, as the original's is.")
    level = place.child("downsamples", level).stages()
    place.convert("bottleneck", level=level)
    place.convert(*(part for part in ("upsamples", "output_block", "deep_supervision_heads") if hasattr(network, part)))
    return _StagedDynUNet(network)


class _MergingSegResNet(TakenOver):
    """A ``SegResNet`` that up-samples to the sizes of its skip connections."""

    def __init__(self, network: SegResNet) -> None:
        super().__init__(network, "convInit", "down_layers", "up_layers", "up_samples")
        self.conv_final = network.conv_final if network.use_conv_final else nn.Identity()
        self.dropout = network.dropout if network.dropout_prob is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
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
def _segresnet(place: Place) -> nn.Module:
    network = place.module
    place.convert(*(part for part in ("convInit", "up_layers", "conv_final", "dropout") if hasattr(network, part)))
    place.child("down_layers").stages()
    for index in range(len(network.up_samples)):
        up = place.child(f"up_samples.{index}")
        # A list, since the network calls its parts one by one.
        network.up_samples[index] = nn.ModuleList([up.child("0").converted(), up.child("1").upsample()])
    if not network.use_conv_final:
        place.child("conv_final").left_out("the network is built with use_conv_final=False")
    return _MergingSegResNet(network)


@converts(SegResNetVAE)
def _refuse_segresnet_vae(place: Place) -> NoReturn:
    raise place.error("its variational branch is built for images of one size; convert a SegResNet, which has none")


class _MergingUpTransition(TakenOver):
    """VNet's ``UpTransition`` with the up-sampling going to the skip connection's size."""

    def __init__(self, module: Any, mode: str) -> None:
        super().__init__(module, "up_conv", "bn1", "dropout2", "act_function1", "act_function2", "ops")
        self.dropout = nn.Identity() if module.dropout is None else module.dropout
        self.mode = mode

    def forward(self, x: torch.Tensor, skipx: torch.Tensor) -> torch.Tensor:
        up = resize_like(self.up_conv(self.dropout(x)), skipx, self.mode)
        merged = torch.cat([self.act_function1(self.bn1(up)), self.dropout2(skipx)], dim=1)
        return self.act_function2(self.ops(merged) + merged)


@converts(UpTransition)
def _vnet_up(place: Place) -> nn.Module:
    place.conversion.claim(place.module.up_conv)
    place.convert()
    place.replaced("the same, with a resize to the skip connection's size after up_conv")
    return _MergingUpTransition(place.module, place.conversion.resize_mode)
