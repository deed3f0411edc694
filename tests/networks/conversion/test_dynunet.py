from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import DynUNet

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests


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


class TestDynUNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        return dynunet(spatial_dims, trans_bias=True)


class TestDynUNetOfResidualBlocks(ConversionTests):
    slow_dimensions = (3,)

    def original(self, spatial_dims: int) -> nn.Module:
        return dynunet(spatial_dims, res_block=True, strides=[1, 2, 2, 2], upsample_kernel_size=[2, 2, 2])


def supervised(spatial_dims: int = 2) -> DynUNet:
    options: dict[str, Any] = {"strides": [1, 2, 2, 2], "upsample_kernel_size": [2, 2, 2]}
    return dynunet(spatial_dims, deep_supervision=True, deep_supr_num=2, **options)


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


class TestDeepSupervision:
    @pytest.mark.parametrize("spatial_dims", [2, 3])
    def test_is_the_original_at_a_half(self, spatial_dims: int) -> None:
        original = supervised(spatial_dims)
        network = rescalable(original)
        x = torch.randn(2, 2, *(32, 16, 16)[:spatial_dims])
        for training in (True, False):
            expected = original.train(training)(x)
            assert expected.dim() == x.dim() + training
            torch.testing.assert_close(network.train(training)(x, phi=0.5), expected, atol=1e-4, rtol=0)

    def test_the_heads_are_those_of_the_stages(self) -> None:
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

    def test_weights_of_all_heads_carry_over(self) -> None:
        source, network = supervised(), rescalable(supervised())
        report = network.load_weights_from(source.state_dict())
        assert not report.fresh and any(name.startswith("deep_supervision_heads.1") for name in report.reused)
        assert {name.split(".")[0] for name in report.unused} == {"skip_layers"}


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


def test_stride_of_four_goes_by_the_square() -> None:
    network = rescalable(dynunet(strides=[1, 4, 2, 1], upsample_kernel_size=[4, 2, 1], kernel_size=[3, 5, 3, 3]))
    body: Any = network.fold(0.3)
    with torch.no_grad():
        assert body.downsamples[0](torch.randn(1, 4, 100, 50)).shape[2:] == (9, 5)  # 0.09 · 50 = 4.5


def test_first_stride_keeps_its_meaning() -> None:
    original = dynunet(strides=[2, 2, 2, 1], upsample_kernel_size=[2, 2, 1]).eval()
    network = rescalable(original).eval()
    x = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(x, phi=0.5), original(x), atol=1e-4, rtol=0)
        assert network(x, phi=0.25).shape[2:] == (8, 8)
    assert network.levels == 3
    assert "size that the first stage leaves" in str(network.report)


def test_dropout_and_mode_are_kept() -> None:
    network = rescalable(dynunet(dropout=0.3).eval())
    assert not any(module.training for module in network.body.modules())
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) > 4
