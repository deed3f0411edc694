"""Networks of MONAI's as users build them, in their full width."""

from __future__ import annotations

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.resnet import ResNetFeatures, resnet10

from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.networks.layers import rescaled_size
from tests.networks.comparisons import assert_same, tensors
from tests.networks.conversion.conversion_tests import normed
from tests.networks.network_tests import PHIS


def stock(name: str, spatial_dims: int) -> nn.Module:
    if name == "resnet10":
        return resnet10(pretrained=False, spatial_dims=spatial_dims, n_input_channels=1, num_classes=3)
    if name == "resnet10 as an encoder":
        return ResNetFeatures("resnet10", pretrained=False, spatial_dims=spatial_dims, in_channels=1)
    return FlexibleUNet(1, 3, "resnet10", spatial_dims=spatial_dims)


@pytest.mark.parametrize("spatial_dims", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["resnet10", "resnet10 as an encoder", "FlexibleUNet"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_stock_network(name: str, spatial_dims: int) -> None:
    original = stock(name, spatial_dims).eval()
    network = rescalable(original, norm="group")
    assert network.levels == {"resnet10": 4, "resnet10 as an encoder": 5}.get(name, 5)
    normed(original, "group")
    with torch.no_grad():
        x = torch.randn(1, 1, *(64, 32, 32)[:spatial_dims])
        assert_same(network(x, phi=0.5), original(x), 1e-4)
        net = HyperNetwork(network, build_generator("linear", head_scale=1.0)).eval()
        for phi in PHIS:
            # No map is smaller than the image at φ = 1, nor are those of 512 channels.
            x = torch.randn(2, 1, *((37, 18, 13) if phi < 1 else (5, 3, 4))[:spatial_dims])
            y, plain = net(x, phi=phi), net.fold(phi)
            # Values grow with the width of the network.
            largest = max(float(maps.abs().max()) for maps in tensors(y))
            assert_same(plain(x), y, 1e-5 * largest)
            if name == "resnet10 as an encoder":
                size = tuple(x.shape[2:])
                for maps in y:
                    size = rescaled_size(size, phi)
                    assert maps.shape[2:] == size
            else:
                assert y.shape == ((2, 3) if name == "resnet10" else (2, 3, *x.shape[2:]))
        assert_same(torch.jit.script(plain)(x), y, 1e-4 * largest)
