from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import EfficientNetBN, FlexibleUNet
from monai.networks.nets.efficientnet import EfficientNet, EfficientNetBNFeatures
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from monai.networks.nets.resnet import ResNet, ResNetFeatures

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts, assert_refused
from tests.networks.conversion.test_resnet import leaky

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
    EfficientNet.__init__(
        network,
        list(STACKS),
        width_coefficient=0.25,
        depth_divisor=4,
        drop_connect_rate=0.0,
        dropout_rate=0.0,
        **options,
    )


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


class TestFlexibleUNetOfResNet(ConversionTests):
    dimensions = (2,)
    norm = "group"
    gradient_size = {2: (24, 24)}
    gradient_phi = 0.8

    def original(self, spatial_dims: int) -> nn.Module:
        return leaky(flexible_unet("TinyResNetEncoder", act="leakyrelu", upsample="deconv", decoder_bias=True))


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
