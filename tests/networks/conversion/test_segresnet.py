from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.nets import SegResNet, SegResNetVAE

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts, assert_refused


class TestSegResNet(ConversionTests):
    def original(self, spatial_dims: int) -> nn.Module:
        norm = ("group", {"num_groups": 2})
        return SegResNet(spatial_dims, 4, 2, 3, norm=norm, act="leakyrelu", blocks_down=(1, 1, 2), blocks_up=(1, 1))


class TestSegResNetWithTransposedConvolutions(ConversionTests):
    slow_dimensions = (3,)

    def original(self, spatial_dims: int) -> nn.Module:
        options = {"norm": ("group", {"num_groups": 2}), "act": "leakyrelu", "upsample_mode": "deconv"}
        return SegResNet(spatial_dims, 4, 2, 3, blocks_down=(1, 1, 1), blocks_up=(1, 1), **options)


def test_without_the_final_convolution() -> None:
    original = SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False)
    network = assert_converts(original, (16, 8))
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
