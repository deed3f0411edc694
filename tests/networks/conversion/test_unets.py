"""MONAI's U-Nets whose stages stand in a row: BasicUNet, DynUNet, SegResNet, VNet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet, BasicUNetPlusPlus, DynUNet, SegResNet, SegResNetVAE, VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, OutputTransition, UpTransition

from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.search import count_flops
from tests.networks.conversion.conversion_tests import GROUP, ConversionTests, assert_converts, assert_refused
from tests.networks.conversion.test_encoders import flexible_unet


class TestBasicUNet(ConversionTests):
    exporters = ("torch.export", "torchscript")
    quick_export = True

    def original(self, spatial_dims: int) -> nn.Module:
        return BasicUNet(spatial_dims, self.in_channels, 3, features=(4, 4, 8, 8, 8, 4), norm=GROUP)


class TestBasicUNetPlusPlus(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        features = (4, 4, 4, 4, 8, 4)
        return BasicUNetPlusPlus(spatial_dims, self.in_channels, 3, features, norm=GROUP, deep_supervision=True)


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


# --- every way in which MONAI's networks up-sample, in each of those that let one choose


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
    sizes = (64, 32, 32)[:spatial_dims]
    assert_converts(network(spatial_dims, upsample), sizes, norm, script=spatial_dims == 2)


# --- DynUNet


def dynunet(spatial_dims: int = 2, **options: Any) -> DynUNet:
    # A plan with everything: an anisotropic kernel and stride, and a stride of 1.
    flat = [*[3] * (spatial_dims - 1), 1], [*[2] * (spatial_dims - 1), 1]
    settings: dict[str, Any] = {
        "kernel_size": [flat[0], 3, 3, 3],
        "strides": [1, flat[1], 2, 1],
        "upsample_kernel_size": [flat[1], 2, 1],
        "filters": [4, 4, 4, 6],
    }
    return DynUNet(spatial_dims, 2, 3, **{**settings, **options})


HALVING: dict[str, Any] = {"strides": [1, 2, 2, 2], "upsample_kernel_size": [2, 2, 2]}


def supervised(spatial_dims: int = 2) -> DynUNet:
    return dynunet(spatial_dims, deep_supervision=True, deep_supr_num=2, **HALVING)


class TestDynUNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        return dynunet(spatial_dims, trans_bias=True)


class TestSupervisedDynUNet(ConversionTests):
    """As in training: the logits and those of two supervision heads, all of them compared in every test."""

    training = True
    slow_dimensions = (3,)
    test_export = None  # type: ignore[assignment]  # a network in training; in evaluation it is that of TestDynUNet

    def original(self, spatial_dims: int) -> nn.Module:
        return supervised(spatial_dims)

    def check_output(self, x: torch.Tensor, y: torch.Tensor) -> None:
        assert y.shape == (x.shape[0], 3, 3, *x.shape[2:])
        assert not torch.equal(y[:, 0], y[:, 1]) and not torch.equal(y[:, 1], y[:, 2])

    def prediction(self, y: torch.Tensor) -> torch.Tensor:
        return y[:, 0]


@pytest.mark.parametrize("options", [{"res_block": True}, {"deep_supervision": True}], ids=str)
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_residual_blocks_and_heads_of_dynunet_in_evaluation(spatial_dims: int, options: dict[str, Any]) -> None:
    network = dynunet(spatial_dims, **options, **HALVING)
    assert assert_converts(network, (32, 16, 16)[:spatial_dims], script=spatial_dims == 2).levels == 3


def test_the_heads_are_those_of_the_stages() -> None:
    network = rescalable(supervised())
    maps: dict[str, torch.Tensor] = {}
    heads: Any = network.body.deep_supervision_heads
    for index, head in enumerate(heads):
        head.register_forward_hook(lambda _m, _i, y, index=index: maps.__setitem__(str(index), y))
    stacked = network(torch.randn(1, 2, 40, 40), phi=0.25)
    assert [tuple(maps[name].shape[2:]) for name in ("0", "1")] == [(10, 10), (3, 3)]
    torch.testing.assert_close(stacked[:, 1, :, 2::4, 2::4], maps["0"])
    network.eval()(torch.randn(1, 2, 40, 40), phi=0.5)
    assert maps["0"].shape[2:] == (10, 10)  # not computed where nobody sees them


def test_levels_are_the_stages_that_go_down() -> None:
    network = rescalable(dynunet(3))
    assert network.levels == 2  # the last stride is 1
    with torch.no_grad():
        body: Any = network.fold([0.5, 0.25])
        x = body.downsamples[0](body.input_block(torch.randn(1, 2, 20, 18, 7)))
        assert x.shape[2:] == (10, 9, 7)  # along the last axis the stride is 1
        x = body.downsamples[1](x)
        assert x.shape[2:] == (3, 2, 2)
        assert body.bottleneck(x).shape[2:] == x.shape[2:]


def test_first_stride_keeps_its_meaning() -> None:
    original = dynunet(strides=[2, 2, 2, 1], upsample_kernel_size=[2, 2, 1]).eval()
    network = rescalable(original).eval()
    x = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x, phi=0.5), original(x), atol=1e-4, rtol=0)
        assert network(x, phi=0.25).shape[2:] == (8, 8)
    assert network.levels == 3
    assert "size that the first stage leaves" in str(network.report)


@pytest.mark.parametrize("kind", ["dynunet", "segresnet"])
def test_dropout_and_mode_are_kept(kind: str) -> None:
    dropping = SegResNet(2, 8, 2, dropout_prob=0.3, blocks_down=(1, 1), blocks_up=(1,))
    network = rescalable((dynunet(dropout=0.3) if kind == "dynunet" else dropping).eval())
    assert not any(module.training for module in network.body.modules())
    x = torch.randn(1, 2, 9, 9)
    assert torch.equal(network(x, phi=0.5), network(x, phi=0.5))
    network.train()
    assert not torch.equal(network(x, phi=0.5), network(x, phi=0.5))


# --- SegResNet


class TestSegResNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        norm = ("group", {"num_groups": 2})
        return SegResNet(spatial_dims, 4, 2, 3, norm=norm, act="leakyrelu", blocks_down=(1, 1, 2), blocks_up=(1, 1))


def test_without_the_final_convolution() -> None:
    original = SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False)
    network = assert_converts(original, (16, 8), script=True)
    assert not any("conv_final" in name for name, _ in network.named_parameters())
    assert "use_conv_final=False" in str(network.load_weights_from(original.state_dict()))


def test_variational_branch_is_refused() -> None:
    network = SegResNetVAE((32, 32), spatial_dims=2, blocks_down=(1, 1), blocks_up=(1,))
    assert_refused(network, "SegResNetVAE.*images of one size; convert a SegResNet")


# --- VNet

ACT = ("elu", {"inplace": True})


class NarrowVNet(VNet):
    """VNet's own blocks and forward, with 4 to 64 channels in place of the 16 to 256 that it always has."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        nn.Module.__init__(self)
        self.in_tr = InputTransition(spatial_dims, in_channels, 4, ACT)
        self.down_tr32 = DownTransition(spatial_dims, 4, 1, ACT)
        self.down_tr64 = DownTransition(spatial_dims, 8, 1, ACT)
        self.down_tr128 = DownTransition(spatial_dims, 16, 1, ACT, dropout_prob=0.0)
        self.down_tr256 = DownTransition(spatial_dims, 32, 1, ACT, dropout_prob=0.0)
        no_dropout = (0.0, 0.0)
        self.up_tr256 = UpTransition(spatial_dims, 64, 64, 1, ACT, dropout_prob=no_dropout)
        self.up_tr128 = UpTransition(spatial_dims, 64, 32, 1, ACT, dropout_prob=no_dropout)
        self.up_tr64 = UpTransition(spatial_dims, 32, 16, 1, ACT, dropout_prob=(None, 0.0))  # type: ignore[arg-type]
        self.up_tr32 = UpTransition(spatial_dims, 16, 8, 1, ACT, dropout_prob=(None, 0.0))  # type: ignore[arg-type]
        self.out_tr = OutputTransition(spatial_dims, 8, out_channels, ACT)


class TestVNet(ConversionTests):
    norm = "group"

    # The smallest map still has three voxels along each axis, so that every tap of a kernel of five sees the image.
    gradient_size = {2: (48, 48), 3: (48, 48, 48)}

    def original(self, spatial_dims: int) -> nn.Module:
        return NarrowVNet(spatial_dims, self.in_channels, 4)


def test_vnet_itself() -> None:
    network = rescalable(VNet(2, 1, 2, dropout_dim=2), norm="group").eval()
    assert network.levels == 4
    with torch.no_grad():
        assert network(torch.randn(1, 1, 19, 8), phi=0.3).shape == (1, 2, 19, 8)
