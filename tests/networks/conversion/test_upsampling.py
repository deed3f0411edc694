"""Every way in which MONAI's networks up-sample, in each of the networks that let one choose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn as nn
from monai.networks.nets import BasicUNet, SegResNet

from tests.networks.conversion.conversion_tests import assert_converts
from tests.networks.conversion.test_flexible_unet import flexible_unet


def basic_unet(spatial_dims: int, upsample: str) -> nn.Module:
    # With MONAI's default instance norm.
    return BasicUNet(spatial_dims, 1, 2, features=(4, 4, 4, 4, 8, 4), upsample=upsample)


def segresnet(spatial_dims: int, upsample: str) -> nn.Module:
    return SegResNet(spatial_dims, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), upsample_mode=upsample)


def of_resnet(spatial_dims: int, upsample: str) -> nn.Module:
    return flexible_unet("TinyResNetEncoder", spatial_dims, in_channels=1, upsample=upsample)


@pytest.mark.parametrize("upsample", ["deconv", "nontrainable", "pixelshuffle"])
@pytest.mark.parametrize(("network", "norm"), [(basic_unet, "refuse"), (segresnet, "refuse"), (of_resnet, "instance")])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_every_way_to_upsample(
    spatial_dims: int, network: Callable[[int, str], nn.Module], norm: str, upsample: str
) -> None:
    assert_converts(network(spatial_dims, upsample), (64, 32, 32)[:spatial_dims], norm)
