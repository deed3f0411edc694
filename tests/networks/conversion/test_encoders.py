"""MONAI's ResNet and EfficientNet, as classifiers and as encoders, and FlexibleUNet on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import EfficientNetBN, FlexibleUNet, ResNet
from monai.networks.nets.efficientnet import EfficientNet, EfficientNetBNFeatures
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from monai.networks.nets.resnet import ResNetFeatures, resnet10

from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.networks.layers import rescaled_size
from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts, assert_refused
from tests.networks.network_tests import PHIS


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
    divided = {2: (64, 32), 3: (64, 32, 32)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(TinyResNetFeatures(spatial_dims))

    def test_input_factor(self, spatial_dims: int) -> None:
        assert_refused(self.original(spatial_dims), "features of several sizes", norm="group", rescale_input=True)

    def check_output(self, x: torch.Tensor, y: Any) -> None:
        assert isinstance(y, list)
        assert [maps.shape[:2] for maps in y] == [(x.shape[0], channels) for channels in (4, 4, 4, 4, 6)]


class TestResNet(ConversionTests):
    """The classifier, of bottlenecks."""

    slow_dimensions = (3,)
    norm = "group"
    gradient_size = {2: (24, 24), 3: (16, 16, 16)}
    divided = {2: (64, 32), 3: (64, 32, 32)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(ResNet("bottleneck", [1, 1, 1, 1], [4, 4, 4, 4], spatial_dims, 2, conv1_t_size=3, num_classes=3))

    def check_output(self, x: torch.Tensor, y: torch.Tensor) -> None:
        assert y.shape == (x.shape[0], 3)


def test_features_have_the_sizes_that_phi_asks_for() -> None:
    network = rescalable(TinyResNetFeatures(), norm="instance")
    for phi in PHIS:
        expected = (45, 31)
        for maps in network(torch.randn(1, 2, *expected), phi=phi):
            expected = rescaled_size(expected, phi)
            assert maps.shape[2:] == expected


@pytest.mark.parametrize(("spatial_dims", "block"), [(2, "bottleneck"), (3, "basic")])
def test_shortcuts_of_type_a(spatial_dims: int, block: str) -> None:
    original = ResNet(block, [1, 1, 1, 1], [4, 4, 6, 6], spatial_dims, 1, shortcut_type="A", num_classes=3)
    network = assert_converts(original, (32, 16, 16)[:spatial_dims], "instance", script=spatial_dims == 2)
    assert network(torch.randn(2, 1, *(13, 1, 7)[:spatial_dims]), phi=0.1).shape == (2, 3)
    assert "shortcuts of type A" in str(network.report)


def test_shortcuts_of_type_a_learn() -> None:
    network = rescalable(TinyResNetFeatures(shortcut_type="A"), norm="instance")
    body: Any = network.body
    for parameter in [*body.layer2[0].conv2.parameters(), *body.layer2[0].bn2.parameters()]:
        torch.nn.init.zeros_(parameter)  # only the shortcut is left of this block
    x = torch.randn(1, 2, 40, 40, requires_grad=True)
    network(x, phi=0.5)[2].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_levels_are_those_that_the_network_has() -> None:
    def levels(**options: Any) -> int:
        return rescalable(TinyResNetFeatures(**options), norm="group").levels

    assert levels() == 5
    assert levels(conv1_t_stride=1) == 4
    assert levels(conv1_t_stride=1, no_max_pool=True) == 3


# --- EfficientNet and FlexibleUNet

# As EfficientNet-b0 in small: kernels of 3 and 5, a stack without stride, and one of two blocks.
STACKS = (
    "r1_k3_s11_e1_i32_o16_se0.25",
    "r2_k3_s22_e2_i16_o16_se0.25",
    "r1_k5_s22_e2_i16_o16_se0.25",
    "r1_k3_s22_e2_i16_o16_se0.25",
    "r1_k3_s11_e1_i16_o16_se0.25",
    "r1_k5_s22_e2_i16_o32_se0.25",
)


def tiny_efficientnet(network: EfficientNet, **options: Any) -> None:
    small: dict[str, Any] = {"width_coefficient": 0.25, "depth_divisor": 4, "drop_connect_rate": 0.0}
    EfficientNet.__init__(network, list(STACKS), dropout_rate=0.0, **small, **options)


class TinyEncoder(BaseEncoder):
    """What the two backbones that are registered here share."""

    @classmethod
    def num_outputs(cls) -> list[int]:
        return [5]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict]:
        return [{"spatial_dims": 2, "in_channels": 2, "pretrained": False}]

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        return [cls.__name__]


class TinyEfficientNetEncoder(EfficientNetBNFeatures, TinyEncoder):
    def __init__(self, spatial_dims: int, in_channels: int, pretrained: bool) -> None:
        tiny_efficientnet(self, spatial_dims=spatial_dims, in_channels=in_channels)

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [(4, 4, 4, 4, 8)]


class TinyResNetEncoder(ResNetFeatures, TinyEncoder):
    def __init__(self, spatial_dims: int, in_channels: int, pretrained: bool) -> None:
        options: dict[str, Any] = {"conv1_t_size": 3, "conv1_t_stride": 2, "feed_forward": False}
        ResNet.__init__(self, "basic", [1, 1, 1, 1], [4, 4, 4, 8], spatial_dims, in_channels, **options)

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        return [(4, 4, 4, 4, 8)]


FLEXUNET_BACKBONE.register_class(TinyEfficientNetEncoder)
FLEXUNET_BACKBONE.register_class(TinyResNetEncoder)


def flexible_unet(backbone: str, spatial_dims: int = 2, in_channels: int = 2, **options: Any) -> FlexibleUNet:
    channels = (8, 4, 4, 4, 4)
    return FlexibleUNet(in_channels, 3, backbone, decoder_channels=channels, spatial_dims=spatial_dims, **options)


class TestFlexibleUNetOfEfficientNet(ConversionTests):
    dimensions = (2,)
    norm = "group"
    gradient_size = {2: (24, 24)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        # The default of nearest neighbours is among the kinds of up-sampling tested below.
        return flexible_unet("TinyEfficientNetEncoder", act="leakyrelu", interp_mode="linear")


def test_the_head_of_the_classifier_goes() -> None:
    original = flexible_unet("TinyEfficientNetEncoder")
    network = rescalable(original, norm="group")
    assert not any("_fc" in name or "_conv_head" in name for name, _ in network.named_parameters())
    report = network.load_weights_from(original.state_dict())
    assert "classifier's head" in report.unused["encoder._fc.weight"]


def test_the_classifier() -> None:
    original = EfficientNetBN("efficientnet-b0", pretrained=False, in_channels=1, norm=("group", {"num_groups": 4}))
    network = assert_converts(original, (64, 64))
    assert network.levels == 5 and network(torch.randn(1, 1, 67, 31), phi=0.3).shape == (1, 1000)


def test_another_encoder_is_refused_by_name() -> None:
    class Other(nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x]

    network = flexible_unet("TinyResNetEncoder")
    network.encoder = Other()
    assert_refused(network, r"encoder \(Other\): this type is not known", norm="group")


@pytest.mark.parametrize("spatial_dims", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_networks_in_their_full_width(spatial_dims: int) -> None:
    sizes = (64, 32, 32)[:spatial_dims]
    classifier = resnet10(pretrained=False, spatial_dims=spatial_dims, n_input_channels=1, num_classes=3)
    assert assert_converts(classifier, sizes, "group").levels == 4
    assert assert_converts(FlexibleUNet(1, 3, "resnet10", spatial_dims=spatial_dims), sizes, "group").levels == 5
