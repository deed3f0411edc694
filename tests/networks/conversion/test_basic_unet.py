from __future__ import annotations

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus

from monai_hyperscale.hypernet import WeightGenerator, build_generator
from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.search import count_flops
from tests.networks.conversion.conversion_tests import ConversionTests

# Groups of four: of two channels and one voxel only a sign is left, which the last bit of the values decides.
GROUP = ("group", {"num_groups": 1})


class TestBasicUNet(ConversionTests):
    exporters = ("torch.export", "torchscript")
    quick_scripts = True

    def original(self, spatial_dims: int) -> nn.Module:
        return BasicUNet(spatial_dims, self.in_channels, 3, features=(4, 4, 8, 8, 8, 4), norm=GROUP)


class TestBasicUNetOfASpline(TestBasicUNet):
    """The generator is another one, and the network the same."""

    slow_dimensions: tuple[int, ...] = (3,)
    exporters = ("torchscript",)
    quick_scripts = False
    exporters = ("torchscript",)

    def generator(self) -> WeightGenerator:
        return build_generator("spline", anchors=(0.0, 0.3, 0.6, 1.0), basis="cubic", head_scale=1.0)


class TestBasicUNetOfALinearGenerator(TestBasicUNetOfASpline):
    slow_dimensions = (2, 3)

    def generator(self) -> WeightGenerator:
        return build_generator("linear", head_scale=1.0)


class TestBasicUNetPlusPlus(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        return BasicUNetPlusPlus(
            spatial_dims, self.in_channels, 3, features=(4, 4, 4, 4, 8, 4), norm=GROUP, deep_supervision=True
        )


@pytest.mark.parametrize("sizes", [(33, 49), (97, 101), (33, 49, 37)], ids=str)
def test_cost_at_sizes_that_no_stride_divides(sizes: tuple[int, ...]) -> None:
    # The original leaves out the last voxel of an odd axis, and pads it on the way up; here none is left out.
    original = BasicUNet(len(sizes), 1, 2, features=(8, 8, 16, 32, 64, 8)).eval()
    x = torch.randn(1, 1, *sizes)
    cost = count_flops(rescalable(original).fold(0.5), x) / count_flops(original, x)
    assert 1 < cost <= 1.25


def test_without_deep_supervision_the_list_has_one_map() -> None:
    network = rescalable(BasicUNetPlusPlus(2, 1, 2, features=(4, 4, 4, 4, 4, 4)))
    maps = network(torch.zeros(1, 1, 9, 7), phi=0.3)
    assert isinstance(maps, list) and [m.shape for m in maps] == [(1, 2, 9, 7)]
