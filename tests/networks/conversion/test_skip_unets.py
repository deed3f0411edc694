"""MONAI's U-Nets that nest their levels: UNet, AttentionUnet, VoxelMorphUNet."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import AttentionUnet, UNet, VoxelMorph, VoxelMorphUNet
from monai.networks.nets.attentionunet import AttentionLayer
from monai.networks.nets.unet import CheckpointUNet

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import GROUP, ConversionTests, assert_converts, assert_refused


class TestUNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        # The top layer has as many channels as there are classes, which the groups must divide.
        return UNet(spatial_dims, self.in_channels, 4, channels=(4, 8, 8, 8), strides=(2, 2, 2), norm=GROUP)


class TestResidualUNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        return UNet(spatial_dims, self.in_channels, 2, channels=(4, 8, 8), strides=(2, 2), num_res_units=2, norm=GROUP)


@pytest.mark.parametrize("units", [0, 2])
@pytest.mark.parametrize(
    ("strides", "levels"), [((2, 1, 2), 2), ((4, 2, 1), 2), ((3, 2, 2), 3), (((2, 1), (1, 2), (2, 2)), 3)], ids=str
)
def test_other_strides(strides: tuple, levels: int, units: int) -> None:
    original = UNet(2, 1, 2, channels=(4, 4, 8, 8), strides=strides, num_res_units=units)
    assert assert_converts(original, (48, 24)).levels == levels


def test_without_strides_there_is_nothing_to_rescale() -> None:
    assert_refused(UNet(2, 1, 2, channels=(4, 8), strides=(1,)), "no strided layer")


def test_checkpointing_is_refused() -> None:
    network = CheckpointUNet(2, 1, 2, channels=(4, 8), strides=(2,))
    assert_refused(network, r"model\.[\w.]+ \(ActivationCheckpointWrapper\)")


class TestAttentionUnet(ConversionTests):
    norm = "group"

    def original(self, spatial_dims: int) -> nn.Module:
        network = AttentionUnet(spatial_dims, self.in_channels, 3, channels=(8, 8, 8), strides=(2, 2))
        for module in network.modules():
            if isinstance(module, AttentionLayer):
                # A shift in front of a norm over one channel does nothing, and so has no gradient.
                module.attention.psi[0].conv.bias = module.merge.conv.bias = None  # type: ignore
        return network


def test_other_strides_of_an_attention_unet() -> None:
    for strides in ((2, 1, 2), (1, 2, 4)):
        network = AttentionUnet(2, 1, 2, channels=(4, 4, 8, 8), strides=strides)
        assert assert_converts(network, (48, 24), "instance").levels == 2


def voxelmorph_unet(spatial_dims: int = 2, **options: Any) -> VoxelMorphUNet:
    return VoxelMorphUNet(spatial_dims, 2, 4, (4, 4, 5, 5, 6, 6), (4,), **options)


class TestVoxelMorphUNet(ConversionTests):
    exporters = ("torch.export",)  # torch's exporter for TorchScript knows no nearest-exact interpolation

    def original(self, spatial_dims: int) -> nn.Module:
        return voxelmorph_unet(spatial_dims)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_voxelmorph_unet_with_strides(spatial_dims: int) -> None:
    network = voxelmorph_unet(spatial_dims, use_maxpool=False)
    assert assert_converts(network, (32, 16, 16)[:spatial_dims], script=spatial_dims == 2).levels == 3


def test_levels_go_down_one_after_the_other() -> None:
    network = rescalable(voxelmorph_unet())
    assert network.levels == 3
    sizes = []
    for module in network.body.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _m, _x, y: sizes.append(tuple(y.shape[2:])))
    network(torch.randn(1, 2, 40, 33), phi=[0.5, 0.4, 0.25])
    assert sizes == [(20, 17), (8, 7), (2, 2)]


@pytest.mark.filterwarnings("ignore:monai.networks.blocks.Warp:UserWarning")
def test_registration_network_is_refused() -> None:
    assert_refused(VoxelMorph(voxelmorph_unet()), "VoxelMorph.*convert its backbone, the VoxelMorphUNet")


def test_another_structure_is_refused() -> None:
    class Summed(VoxelMorphUNet):
        def _get_connection_block(self, down: nn.Module, up: nn.Module, subblock: nn.Module) -> nn.Module:
            block: Any = super()._get_connection_block(down, up, subblock)
            block[1].mode = "add"
            return block

    assert_refused(Summed(2, 2, 4, (4, 4, 4, 4), (4,)), r"net\.0\.1 \(SkipConnection\).*concatenation")
