from __future__ import annotations

import pytest
import torch.nn as nn
from monai.networks.nets import UNet
from monai.networks.nets.unet import CheckpointUNet

from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts, assert_refused

# Groups of four: of two channels and one voxel only a sign is left, which the last bit of the values decides.
GROUP = ("group", {"num_groups": 1})


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
    assert_refused(
        CheckpointUNet(2, 1, 2, channels=(4, 8), strides=(2,)), r"model\.[\w.]+ \(ActivationCheckpointWrapper\)"
    )
