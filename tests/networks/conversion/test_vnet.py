from __future__ import annotations

import torch
import torch.nn as nn
from monai.networks.nets import VNet
from monai.networks.nets.vnet import DownTransition, InputTransition, OutputTransition, UpTransition

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import ConversionTests

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


def test_the_real_one() -> None:
    network = rescalable(VNet(2, 1, 2, dropout_dim=2), norm="group").eval()
    assert network.levels == 4
    with torch.no_grad():
        assert network(torch.randn(1, 1, 19, 8), phi=0.3).shape == (1, 2, 19, 8)
