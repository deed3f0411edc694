from __future__ import annotations

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import SegResNet, SegResNetVAE

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests, assert_refused


class TestSegResNet(ConversionTests):
    exporters = ("torchscript",)  # ONNX by one of the two; BasicUNet has both

    def original(self, spatial_dims: int) -> nn.Module:
        norm = ("group", {"num_groups": 2})
        return SegResNet(spatial_dims, 4, 2, 3, norm=norm, act="leakyrelu", blocks_down=(1, 1, 2), blocks_up=(1, 1))


class TestSegResNetWithTransposedConvolutions(ConversionTests):
    slow_dimensions = (3,)
    exporters = ("torchscript",)  # ONNX by one of the two; BasicUNet has both

    def original(self, spatial_dims: int) -> nn.Module:
        options = {"norm": ("group", {"num_groups": 2}), "act": "leakyrelu", "upsample_mode": "deconv"}
        return SegResNet(spatial_dims, 4, 2, 3, blocks_down=(1, 1, 1), blocks_up=(1, 1), **options)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("mode", ["deconv", "nontrainable", "pixelshuffle"])
def test_every_kind_of_up_sampling(spatial_dims: int, mode: str) -> None:
    original = SegResNet(spatial_dims, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), upsample_mode=mode).eval()
    network = rescalable(original).eval()
    x = torch.randn(1, 1, *(16, 8, 8)[:spatial_dims])
    with torch.no_grad():
        torch.testing.assert_close(network(x, phi=0.5), original(x), atol=1e-5, rtol=0)
        for phi in (0, 0.1, 0.37, 1):
            x = torch.randn(1, 1, *(13, 1, 7)[:spatial_dims])
            assert network(x, phi=phi).shape == (1, 2, *x.shape[2:])


def test_without_the_final_convolution() -> None:
    original = SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False).eval()
    network = rescalable(original).eval()
    x = torch.randn(1, 1, 16, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(x, phi=0.5), original(x), atol=1e-5, rtol=0)
    assert not any("conv_final" in name for name, _ in network.named_parameters())
    assert "use_conv_final=False" in str(network.load_weights_from(original.state_dict()))


def test_dropout_is_kept() -> None:
    network = rescalable(SegResNet(2, 8, dropout_prob=0.3, blocks_down=(1, 1), blocks_up=(1,)))
    x = torch.randn(1, 1, 9, 9)
    assert not torch.equal(network(x, phi=0.5), network(x, phi=0.5))
    network.eval()
    assert torch.equal(network(x, phi=0.5), network(x, phi=0.5))


def test_variational_branch_is_refused() -> None:
    assert_refused(
        SegResNetVAE((32, 32), spatial_dims=2, blocks_down=(1, 1), blocks_up=(1,)),
        "SegResNetVAE.*images of one size; convert a SegResNet",
    )
