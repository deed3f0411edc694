from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from monai.data import MetaTensor

from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from monai_hyperscale.networks import ScaleSpaceUNet
from tests.networks.network_tests import PhiNetworkTests, both_dimensions


class TestScaleSpaceUNet(PhiNetworkTests):
    quick_export = True

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceUNet(spatial_dims, self.in_channels, 3, features=(8, 8, 8, 8, 8))


class TestRescaledInput(PhiNetworkTests):
    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceUNet(spatial_dims, self.in_channels, 3, features=(8, 8, 8), rescale_input=True)


class TestWithoutNormalization(PhiNetworkTests):
    """As in the paper; with nearest resizing, three convolutions and another rounding besides."""

    # The smallest map still has more than one voxel, so that every tap of a kernel sees the image.
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}
    exporters = ("torch.export",)  # torch's exporter for TorchScript knows no nearest-exact interpolation

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceUNet(
            spatial_dims,
            self.in_channels,
            2,
            features=(4, 6, 5),
            decoder_features=(7, 3),
            convolutions=3,
            norm=None,
            mode="nearest",
            rounding="ceil",
        )


@both_dimensions
def test_default_is_the_papers_architecture(spatial_dims: int) -> None:
    network = ScaleSpaceUNet(spatial_dims, 1, 4)
    body: Any = network.body
    assert network.levels == 4
    assert (len(body.encoder), len(body.decoder), len(body.down)) == (5, 4, 4)
    k = 3**spatial_dims
    convolution = 32 * 32 * k + 32
    first, halved = 32 * k + 32, 64 * 32 * k + 32
    expected = first + 9 * convolution + 4 * (halved + convolution) + (32 * 4 + 4)
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))]
    assert sum(p.numel() for m in convolutions for p in m.parameters()) == expected
    assert len(convolutions) == 2 * 9 + 1
    assert sum(isinstance(m, nn.LeakyReLU) for m in network.modules()) == 2 * 9
    # No activation follows the final 1×1 convolution: the logits take both signs.
    logits = network(torch.randn((1, 1) + (8,) * spatial_dims), phi=0.5)
    assert logits.min() < 0 < logits.max()


@both_dimensions
def test_sizes_inside(spatial_dims: int) -> None:
    network = ScaleSpaceUNet(spatial_dims, 1, 2, features=(4, 4, 4, 4))
    seen = []
    body: Any = network.body
    for stage in list(body.encoder) + list(body.decoder):
        stage.register_forward_hook(lambda module, args, output: seen.append(output.shape[2:]))
    network(torch.zeros((1, 1) + (25,) * spatial_dims), phi=0.5)
    # Halves round up, 25 → 13 → 7 → 4, and the way back goes through the same sizes.
    assert seen == [(n,) * spatial_dims for n in (25, 13, 7, 4, 7, 13, 25)]
    seen.clear()
    network(torch.zeros((1, 1) + (25,) * spatial_dims), phi=[0.2, 1.0, 0.0])
    assert seen == [(n,) * spatial_dims for n in (25, 5, 5, 1, 5, 5, 25)]


def test_channels_last() -> None:
    network: Any = ScaleSpaceUNet(3, 1, 2, features=(8, 8, 8)).eval()
    x = torch.randn(2, 1, 9, 8, 7)
    with torch.no_grad():
        expected = network(x, phi=0.4)
        network.to(memory_format=torch.channels_last_3d)
        y = network(x.to(memory_format=torch.channels_last_3d), phi=0.4)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)


def test_meta_tensors() -> None:
    net = HyperNetwork(ScaleSpaceUNet(3, 1, 2, features=(8, 8, 8)), MLPGenerator(hidden=(10, 8))).eval()
    x = torch.randn(1, 1, 9, 8, 7)
    with torch.no_grad():
        for network in (lambda image: net(image, phi=0.4), lambda image: net(image, 0.4), net.fold(0.4)):
            torch.testing.assert_close(torch.as_tensor(network(MetaTensor(x))).as_subclass(torch.Tensor), network(x))
