from __future__ import annotations

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests
from tests.networks.network_tests import assert_same

# Groups of four: of two channels and one voxel only a sign is left, which the last bit of the values decides.
GROUP = ("group", {"num_groups": 1})


class TestBasicUNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        return BasicUNet(spatial_dims, self.in_channels, 3, features=(4, 4, 8, 8, 8, 4), norm=GROUP)


class TestBasicUNetPlusPlus(ConversionTests):
    exporters = ("torchscript",)  # ONNX by one of the two; BasicUNet has both

    def original(self, spatial_dims: int) -> nn.Module:
        return BasicUNetPlusPlus(
            spatial_dims, self.in_channels, 3, features=(4, 4, 4, 4, 8, 4), norm=GROUP, deep_supervision=True
        )


@pytest.mark.parametrize("upsample", ["deconv", "nontrainable", "pixelshuffle"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_every_way_to_upsample(spatial_dims: int, upsample: str) -> None:
    # With MONAI's default instance norm; the kinds of up-sampling share everything else.
    original = BasicUNet(spatial_dims, 1, 2, features=(4, 4, 4, 4, 8, 4), upsample=upsample).eval()
    network = rescalable(original).eval()
    x = torch.randn(2, 1, *(32, 48, 32)[:spatial_dims])
    with torch.no_grad():
        torch.testing.assert_close(network(x, phi=0.5), original(x), atol=1e-4, rtol=0)
        for phi in (0, 0.3, 1):
            x = torch.randn(1, 1, *(13, 7, 5)[:spatial_dims])
            y = network(x, phi=phi)
            assert y.shape[2:] == x.shape[2:]
            assert_same(torch.jit.script(network.fold(phi).eval())(x), y, 1e-4)


def test_without_deep_supervision_the_list_has_one_map() -> None:
    network = rescalable(BasicUNetPlusPlus(2, 1, 2, features=(4, 4, 4, 4, 4, 4)))
    maps = network(torch.zeros(1, 1, 9, 7), phi=0.3)
    assert isinstance(maps, list) and [m.shape for m in maps] == [(1, 2, 9, 7)]
