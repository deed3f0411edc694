from __future__ import annotations

import warnings
from typing import Any, Optional

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.data import MetaTensor

from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from monai_hyperscale.networks import ScaleSpaceUNet
from tests.networks.network_tests import PhiNetworkTests, both_dimensions


class TestScaleSpaceUNet(PhiNetworkTests):
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


class HalvingUNet(nn.Module):
    """The ordinary U-Net, written without a line of this package: average pooling, doubling, skip connections."""

    def __init__(self, weights: dict[str, torch.Tensor], levels: int, spatial_dims: int, groups: Optional[int]) -> None:
        super().__init__()
        self.weights = weights
        self.levels = levels
        self.spatial_dims = spatial_dims
        self.groups = groups

    def stage(self, x: torch.Tensor, name: str) -> torch.Tensor:
        conv = F.conv2d if self.spatial_dims == 2 else F.conv3d
        for index in range(2):
            weight, bias = (self.weights[f"{name}.conv{index}.{part}"] for part in ("weight", "bias"))
            x = conv(x, weight, bias, padding=1)
            if self.groups is not None:
                norm = nn.GroupNorm(self.groups, x.shape[1]).to(x.dtype)
                norm.weight.copy_(self.weights[f"{name}.norm{index}.weight"])
                norm.bias.copy_(self.weights[f"{name}.norm{index}.bias"])
                x = norm(x)
            x = F.leaky_relu(x, 0.01)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = F.avg_pool2d if self.spatial_dims == 2 else F.avg_pool3d
        mode = "bilinear" if self.spatial_dims == 2 else "trilinear"
        skips = []
        for level in range(self.levels):
            x = self.stage(x, f"encoder.{level}")
            skips.append(x)
            x = pool(x, 2)
        x = self.stage(x, f"encoder.{self.levels}")
        for level in range(self.levels):
            x = F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
            x = self.stage(torch.cat([x, skips.pop()], dim=1), f"decoder.{level}")
        conv = F.conv2d if self.spatial_dims == 2 else F.conv3d
        return conv(x, self.weights["final.weight"], self.weights["final.bias"])


@both_dimensions
@pytest.mark.parametrize("norm", ["group", None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_is_ordinary_halving(spatial_dims: int, norm: Optional[str], dtype: torch.dtype) -> None:
    network = ScaleSpaceUNet(spatial_dims, 1, 3, features=(8, 8, 8, 8, 8), norm=norm)
    for parameter in network.parameters():  # trained normalisation layers are not ones and zeros
        nn.init.normal_(parameter, std=0.3)
    network.to(dtype)
    net = HyperNetwork(network, MLPGenerator(hidden=(10, 8))).to(dtype)
    folded = net.fold(0.5)
    ordinary = HalvingUNet(folded.state_dict(), 4, spatial_dims, None if norm is None else 2)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    for sizes in ((16, 16, 16), (32, 48, 16), (48, 16, 64)):
        x = torch.randn(1, 1, *sizes[:spatial_dims], dtype=dtype)
        with torch.no_grad():
            expected = ordinary(x)
            scale = expected.abs().max()
            assert scale > 0.1
            torch.testing.assert_close(net(x, phi=0.5) / scale, expected / scale, atol=tolerance, rtol=0)
            torch.testing.assert_close(folded(x) / scale, expected / scale, atol=tolerance, rtol=0)
            assert (net(x, phi=0.6) - expected).abs().max() > 1e-2 * scale


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


def test_features_per_stage() -> None:
    network = ScaleSpaceUNet(2, 3, 2, features=(16, 32, 64, 128, 256), decoder_features=(32, 16, 8, 4), norm=None)
    body: Any = network.body
    assert [stage.conv0.out_channels for stage in body.encoder] == [16, 32, 64, 128, 256]
    assert [stage.conv0.in_channels for stage in body.decoder] == [256 + 128, 32 + 64, 16 + 32, 8 + 16]
    assert [stage.conv1.out_channels for stage in body.decoder] == [32, 16, 8, 4]
    assert network(torch.zeros(1, 3, 9, 7), phi=0.4).shape == (1, 2, 9, 7)


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


@both_dimensions
def test_dropout_only_in_training(spatial_dims: int) -> None:
    network = ScaleSpaceUNet(spatial_dims, 1, 2, features=(8, 8, 8), dropout=0.5)
    net = HyperNetwork(network, MLPGenerator(hidden=(10, 8)))
    x = torch.randn((1, 1) + (9,) * spatial_dims)
    with torch.no_grad():
        net.train()
        plain = net.fold(0.5)
        assert (net(x, phi=0.5) - net(x, phi=0.5)).abs().max() > 1e-3
        net.eval()
        torch.testing.assert_close(net(x, phi=0.5), net(x, phi=0.5), atol=0, rtol=0)
        torch.testing.assert_close(plain(x), net(x, phi=0.5), atol=1e-5, rtol=0)


@both_dimensions
@pytest.mark.parametrize("norm", ["group", "instance", ("group", {"num_groups": 1}), None])
@pytest.mark.parametrize("act", ["relu", ("elu", {"alpha": 0.5})])
def test_options(spatial_dims: int, norm: Any, act: Any) -> None:
    network = ScaleSpaceUNet(spatial_dims, 1, 2, features=(4, 8), norm=norm, act=act, kernel_size=5).train()
    for phi in (0, 0.3):
        y = network(torch.randn((1, 1) + (5,) * spatial_dims), phi=phi)
        y.sum().backward()
        assert y.isfinite().all()


def test_one_dimension() -> None:
    assert ScaleSpaceUNet(1, 1, 2, features=(4, 4))(torch.randn(2, 1, 13), phi=0.3).shape == (2, 2, 13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims"),
        ({"spatial_dims": "2"}, "spatial_dims"),
        ({"features": (8,)}, "features"),
        ({"features": (8, 0)}, "features"),
        ({"features": (8, 8), "decoder_features": (8, 8)}, "decoder_features"),
        ({"features": (8, 8), "decoder_features": (0,)}, "decoder_features"),
        ({"convolutions": 0}, "convolutions"),
        ({"kernel_size": 2}, "kernel_size"),
        ({"mode": "cubic"}, "mode"),
        ({"rounding": "up"}, "rounding"),
        ({"norm": "batch"}, "batch"),
        ({"norm": "layer"}, "norm"),
        ({"features": (6, 6), "norm": ("group", {"num_groups": 4})}, "num_groups"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    arguments: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of them gets as far as torch's warning on empty layers
        with pytest.raises(ValueError, match=message):
            ScaleSpaceUNet(**arguments)


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
