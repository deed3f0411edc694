from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import ResNet
from monai.networks.nets.resnet import ResNetFeatures

from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.networks.layers import rescaled_size
from tests.networks.comparisons import tensors
from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts, assert_refused


class TinyResNetFeatures(ResNetFeatures):
    """``ResNetFeatures`` of few channels: it runs MONAI's ``forward``."""

    def __init__(self, spatial_dims: int = 2, in_channels: int = 2, **options: Any) -> None:
        settings: dict[str, Any] = {"conv1_t_size": 3, "conv1_t_stride": 2, "feed_forward": False, **options}
        block, planes = settings.pop("block", "basic"), settings.pop("planes", (4, 4, 4, 6))
        ResNet.__init__(self, block, [1, 1, 1, 1], list(planes), spatial_dims, in_channels, **settings)


def leaky(network: nn.Module) -> nn.Module:
    """Return the network with leaky activations, which let gradients reach every weight, in place."""
    for module in network.modules():
        if isinstance(getattr(module, "act", None), nn.ReLU):
            module.act = nn.LeakyReLU(0.1, inplace=True)
    return network


class TestResNetFeatures(ConversionTests):
    norm = "group"
    gradient_size = {2: (24, 24), 3: (16, 16, 16)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(TinyResNetFeatures(spatial_dims))

    def test_input_factor(self, spatial_dims: int) -> None:
        assert_refused(self.original(spatial_dims), "features of several sizes", norm="group", rescale_input=True)

    def check_output(self, x: torch.Tensor, y: Any) -> None:
        assert isinstance(y, list)
        assert [(maps.shape[0], maps.shape[1]) for maps in y] == [
            (x.shape[0], channels) for channels in (4, 4, 4, 4, 6)
        ]


class TestResNet(ConversionTests):
    """The classifier, of bottlenecks."""

    slow_dimensions = (3,)
    norm = "group"
    gradient_size = {2: (24, 24), 3: (16, 16, 16)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(ResNet("bottleneck", [1, 1, 1, 1], [4, 4, 4, 4], spatial_dims, 2, conv1_t_size=3, num_classes=3))

    def check_output(self, x: torch.Tensor, y: torch.Tensor) -> None:
        assert y.shape == (x.shape[0], 3)


class TestResNetFeaturesOfBottlenecks(TestResNetFeatures):
    slow_dimensions = (2, 3)

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(TinyResNetFeatures(spatial_dims, block="bottleneck", planes=(2, 2, 2, 3)))

    def check_output(self, x: torch.Tensor, y: Any) -> None:
        assert isinstance(y, list)
        assert [maps.shape[:2] for maps in y] == [(x.shape[0], channels) for channels in (2, 8, 8, 8, 12)]


@pytest.mark.parametrize("phi", [0, 0.1, 0.37, 0.5, 1])
def test_features_have_the_sizes_that_phi_asks_for(phi: float) -> None:
    network = rescalable(TinyResNetFeatures(), norm="instance")
    expected = (45, 31)
    for maps in network(torch.randn(1, 2, *expected), phi=phi):
        expected = rescaled_size(expected, phi)
        assert maps.shape[2:] == expected
    assert network.levels == 5


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_shortcuts_of_type_a(spatial_dims: int, block: str) -> None:
    original = ResNet(block, [1, 1, 1, 1], [4, 4, 6, 6], spatial_dims, 1, shortcut_type="A", num_classes=3)
    network = assert_converts(original, (32, 16, 16)[:spatial_dims], "instance")
    assert network(torch.randn(2, 1, *(13, 1, 7)[:spatial_dims]), phi=0.1).shape == (2, 3)
    assert "shortcuts of type A" in str(network.report)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_shortcuts_of_type_a_learn_and_compile() -> None:
    network = rescalable(TinyResNetFeatures(shortcut_type="A"), norm="instance")
    body: Any = network.body
    for parameter in [*body.layer2[0].conv2.parameters(), *body.layer2[0].bn2.parameters()]:
        torch.nn.init.zeros_(parameter)  # only the shortcut is left of this block
    x = torch.randn(1, 2, 40, 40, requires_grad=True)
    network(x, phi=0.5)[2].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    plain = network.fold(0.3).eval()
    for maps, expected in zip(tensors(torch.jit.script(plain)(x)), plain(x), strict=True):
        torch.testing.assert_close(maps, expected, atol=1e-4, rtol=0)


def test_levels_are_those_that_the_network_has() -> None:
    def levels(**options: Any) -> int:
        return rescalable(TinyResNetFeatures(**options), norm="group").levels

    assert levels() == 5
    assert levels(conv1_t_stride=1) == 4
    assert levels(conv1_t_stride=1, no_max_pool=True) == 3


def test_batch_norm_in_blocks_is_refused_by_name() -> None:
    # The blocks of a ResNet that is built with another norm still have batch norm: MONAI does not pass it on.
    network = TinyResNetFeatures(norm=("group", {"num_groups": 2}))
    assert_refused(network, r"layer1\.0\.bn1 \(BatchNorm2d\)")
