from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import VoxelMorph, VoxelMorphUNet

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests, assert_refused


def voxelmorph_unet(spatial_dims: int = 2, **options: Any) -> VoxelMorphUNet:
    return VoxelMorphUNet(spatial_dims, 2, 4, (4, 4, 5, 5, 6, 6), (4,), **options)


class TestVoxelMorphUNet(ConversionTests):
    exporters = ("torch.export",)  # torch's exporter for TorchScript knows no nearest-exact interpolation

    def original(self, spatial_dims: int) -> nn.Module:
        return voxelmorph_unet(spatial_dims)


class TestVoxelMorphUNetWithStrides(ConversionTests):
    slow_dimensions = (3,)
    exporters = ("torch.export",)  # torch's exporter for TorchScript knows no nearest-exact interpolation

    def original(self, spatial_dims: int) -> nn.Module:
        return voxelmorph_unet(spatial_dims, use_maxpool=False)


def test_levels_go_down_one_after_the_other() -> None:
    network = rescalable(voxelmorph_unet())
    assert network.levels == 3
    sizes = []
    for module in network.body.modules():
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(lambda _m, _x, y: sizes.append(tuple(y.shape[2:])))
    network(torch.randn(1, 2, 40, 33), phi=[0.5, 0.4, 0.25])
    assert sizes == [(20, 17), (8, 7), (2, 2)]


def test_the_original_needs_sizes_that_divide() -> None:
    original, x = voxelmorph_unet().eval(), torch.randn(1, 2, 23, 18)
    with pytest.raises(RuntimeError, match="[Ss]izes of tensors must match"):
        original(x)
    assert rescalable(original)(x, phi=0.5).shape == (1, 2, 23, 18)


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
