from __future__ import annotations

import pytest
import torch.nn as nn
from monai.networks.nets import AttentionUnet
from monai.networks.nets.attentionunet import AttentionLayer

from tests.networks.conversion.conversion_tests import ConversionTests, assert_converts


class TestAttentionUnet(ConversionTests):
    norm = "group"

    def original(self, spatial_dims: int) -> nn.Module:
        network = AttentionUnet(spatial_dims, self.in_channels, 3, channels=(8, 8, 8), strides=(2, 2))
        for module in network.modules():
            if isinstance(module, AttentionLayer):
                # A shift in front of a norm over one channel does nothing, and so has no gradient.
                module.attention.psi[0].conv.bias = module.merge.conv.bias = None  # type: ignore
        return network


@pytest.mark.parametrize(("strides", "levels"), [((2, 1, 2), 2), ((1, 2, 4), 2)])
def test_other_strides(strides: tuple, levels: int) -> None:
    network = AttentionUnet(2, 1, 2, channels=(4, 4, 8, 8), strides=strides)
    assert assert_converts(network, (48, 24), "instance").levels == levels
