"""The architectures of SSHN C.1: what they have in common, and the U-Nets' order of operations."""

from __future__ import annotations

from typing import Any, Optional

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.utils import pixelshuffle, pixelunshuffle

from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from monai_hyperscale.networks import (
    ScaleSpaceFPN,
    ScaleSpacePSPNet,
    ScaleSpaceResidualUNet,
    ScaleSpaceSEUNet,
    ScaleSpaceUNet,
)
from monai_hyperscale.networks.blocks import ConvolutionStage
from tests.networks.network_tests import PhiNetworkTests, both_dimensions

U_NETS: list[Any] = [ScaleSpaceUNet, ScaleSpaceResidualUNet, ScaleSpaceSEUNet, ScaleSpacePSPNet]
ARCHITECTURES: list[Any] = [*U_NETS, ScaleSpaceFPN]


class TestResidualUNet(PhiNetworkTests):
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceResidualUNet(spatial_dims, self.in_channels, 3, features=(4, 6, 8))


class TestSEUNet(PhiNetworkTests):
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceSEUNet(spatial_dims, self.in_channels, 3, features=(4, 6, 8))


class TestUNetOfPatches(PhiNetworkTests):
    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceUNet(spatial_dims, self.in_channels, 3, features=(8, 8, 8), patch_size=2)


class TestPSPNet(PhiNetworkTests):
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}
    exporters = ("torch.export",)  # the one for TorchScript wants bins that divide the size

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpacePSPNet(spatial_dims, self.in_channels, 3, features=(4, 6, 8), bins=(1, 3))


def halving(body: Any, x: torch.Tensor) -> torch.Tensor:
    """Run the stages of a U-Net with average pooling and doubling, as U-Nets do."""
    pool: Any = F.avg_pool2d if x.dim() == 4 else F.avg_pool3d
    mode = "bilinear" if x.dim() == 4 else "trilinear"
    skips = []
    for stage in body.encoder[:-1]:
        skips.append(stage(x))
        x = pool(skips[-1], 2)
    x = body.encoder[-1](x)
    for stage, skip in zip(body.decoder, reversed(skips), strict=True):
        x = F.interpolate(x, scale_factor=2, mode=mode, align_corners=False)
        x = stage(torch.cat([x, skip], dim=1))
    return body.final(x)


@both_dimensions
@pytest.mark.parametrize("architecture", U_NETS)
@pytest.mark.parametrize("norm", ["group", None])
def test_half_is_ordinary_halving(architecture: Any, spatial_dims: int, norm: Optional[str]) -> None:
    network = architecture(spatial_dims, 1, 3, features=(8, 4, 8, 4), decoder_features=(6, 4, 4), norm=norm)
    for parameter in network.parameters():  # trained normalisation layers are not ones and zeros
        parameter.data += 0.1 * torch.randn_like(parameter)
    net = HyperNetwork(network, MLPGenerator(hidden=(10, 8))).eval()
    x = torch.randn((2, 1, 8, 16, 24)[: 2 + spatial_dims])
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        net.to(dtype)
        folded: Any = net.fold(0.5)
        with torch.no_grad():
            image = x.to(dtype)
            expected = halving(folded, image)
            scale = expected.abs().max()
            for y in (net(image, phi=0.5), folded(image)):
                torch.testing.assert_close(y / scale, expected / scale, atol=tolerance, rtol=0)
            assert (net(image, phi=0.6) - expected).abs().max() > 1e-2 * scale


@both_dimensions
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "options",
    [
        {"norm": "instance", "act": "relu"},
        {"norm": ("group", {"num_groups": 1}), "act": ("elu", {"alpha": 0.5}), "kernel_size": 5, "convolutions": 1},
        {"norm": None, "mode": "nearest", "rounding": "floor", "convolutions": 3, "rescale_input": True},
    ],
    ids=str,
)
def test_options(architecture: Any, options: dict, spatial_dims: int) -> None:
    network = architecture(spatial_dims, 1, 2, features=(4, 8), **options).train()
    for phi in (0, 0.3):
        for sizes in ((1, 1, 1), (5, 7, 5)):
            y = network(torch.randn(1, 1, *sizes[:spatial_dims]), phi=phi)
            y.sum().backward()
            assert y.isfinite().all() and y.shape == (1, 2, *sizes[:spatial_dims])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_is_active_in_training_only(architecture: Any) -> None:
    net = HyperNetwork(architecture(2, 1, 2, features=(8, 8), dropout=0.5), MLPGenerator(hidden=(10, 8)))
    x = torch.randn(1, 1, 9, 9)
    with torch.no_grad():
        plain = net.fold(0.5)
        assert (net(x, phi=0.5) - net(x, phi=0.5)).abs().max() > 1e-3
        net.eval()
        torch.testing.assert_close(net(x, phi=0.5), net(x, phi=0.5), atol=0, rtol=0)
        torch.testing.assert_close(plain(x), net(x, phi=0.5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_defaults_and_one_dimension(architecture: Any) -> None:
    assert architecture(1, 1, 2, features=(4, 4))(torch.randn(2, 1, 13), phi=0.3).shape == (2, 2, 13)
    network = architecture(2, 3, 4)
    assert network.levels == 4 and not network.rescale_input
    assert (network.spatial_dims, network.in_channels, network.out_channels) == (2, 3, 4)
    assert architecture(2, 3, 4, features=(4, 4), rescale_input=True).levels == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims"),
        ({"spatial_dims": "2"}, "spatial_dims"),
        ({"features": (8,)}, "features"),
        ({"features": (8, 0)}, "features"),
        ({"decoder_features": 0}, "decoder_features"),
        ({"convolutions": 0}, "convolutions"),
        ({"kernel_size": 2}, "kernel_size"),
        ({"mode": "cubic"}, "mode"),
        ({"rounding": "up"}, "rounding"),
        ({"norm": "batch"}, "batch"),
        ({"norm": "layer"}, "norm"),
        ({"features": (6, 6), "norm": ("group", {"num_groups": 4})}, "num_groups"),
    ],
    ids=str,
)
def test_bad_arguments(options: dict, message: str) -> None:
    given: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": (8, 8), **options}
    for architecture in ARCHITECTURES:
        several = {"decoder_features": (0,)} if "decoder_features" in given and architecture in U_NETS else {}
        # Warnings are errors: none of them gets as far as torch's warning on empty layers.
        with pytest.raises(ValueError, match=message):
            architecture(**{**given, **several})


def test_bad_arguments_of_their_own() -> None:
    with pytest.raises(ValueError, match="reduction"):
        ScaleSpaceSEUNet(2, 1, 2, features=(8, 4), reduction=5)
    with pytest.raises(ValueError, match="bins"):
        ScaleSpacePSPNet(2, 1, 2, features=(8, 4), bins=(1, 0))
    for architecture in U_NETS:
        with pytest.raises(ValueError, match="decoder_features must name 1 stages"):
            architecture(2, 1, 2, features=(8, 8), decoder_features=(8, 8))
    for patch_size in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="patch_size must be a whole number of voxels"):
            ScaleSpaceUNet(2, 1, 3, features=(4, 4), patch_size=patch_size)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decoder_features must be one number"):
        ScaleSpaceFPN(2, 1, 2, features=(8, 4), decoder_features=(8,))  # type: ignore[arg-type]


@both_dimensions
@pytest.mark.parametrize("architecture", U_NETS)
def test_patches_are_what_a_network_of_more_channels_sees(architecture: Any, spatial_dims: int) -> None:
    voxels = 2**spatial_dims
    network: Any = architecture(spatial_dims, 1, 3, features=(4, 6), patch_size=2).eval()
    inner: Any = architecture(spatial_dims, voxels, 3 * voxels, features=(4, 6)).eval()
    inner.body.load_state_dict(network.body.body.state_dict())
    image = torch.rand(2, 1, *(8, 10, 12)[:spatial_dims])
    maps = inner(pixelunshuffle(image, spatial_dims, 2), phi=0.4)
    torch.testing.assert_close(network(image, phi=0.4), pixelshuffle(maps, spatial_dims, 2))


# --- residual and squeeze-and-excitation stages against their formulas


def stage(architecture: Any, spatial_dims: int, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """Return a stage of the network's decoder, where the PSPNet has its own."""
    network = architecture(spatial_dims, 1, 1, features=(8, 8), **options)
    return network.decoder_stage(in_channels, out_channels)


@both_dimensions
@pytest.mark.parametrize("in_channels", [3, 8])
@pytest.mark.parametrize("norm", ["group", None])
def test_residual_stage(spatial_dims: int, in_channels: int, norm: Any) -> None:
    block = stage(ScaleSpaceResidualUNet, spatial_dims, in_channels, 8, norm=norm)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    state = block.state_dict()
    conv = F.conv2d if spatial_dims == 2 else F.conv3d
    x = torch.randn((2, in_channels, 5, 7, 3)[: 2 + spatial_dims])
    y = x
    for unit in ("conv.unit0", "conv.unit1"):
        y = conv(y, state[f"{unit}.conv.weight"], state[f"{unit}.conv.bias"], padding=1)
        if norm == "group":
            y = F.group_norm(y, 2, state[f"{unit}.adn.N.weight"], state[f"{unit}.adn.N.bias"])
        y = F.leaky_relu(y, 0.01)
    shortcut = x if in_channels == 8 else conv(x, state["residual.weight"], state["residual.bias"])
    with torch.no_grad():
        torch.testing.assert_close(block(x), y + shortcut, atol=1e-5, rtol=1e-5)


@both_dimensions
def test_squeeze_excite_stage(spatial_dims: int) -> None:
    block = stage(ScaleSpaceSEUNet, spatial_dims, 3, 8, act="relu", reduction=4)
    plain = ConvolutionStage(spatial_dims, 3, 8, act="relu")
    missing = plain.load_state_dict(block.state_dict(), strict=False)
    assert not missing.missing_keys
    layers = [(layer.weight, layer.bias) for layer in block.modules() if isinstance(layer, nn.Linear)]
    assert [tuple(weight.shape) for weight, _ in layers] == [(2, 8), (8, 2)]
    x = torch.randn((2, 3, 5, 7, 3)[: 2 + spatial_dims])
    with torch.no_grad():
        maps = plain(x)
        means = maps.flatten(2).mean(dim=2)
        gates = torch.sigmoid(F.linear(F.relu(F.linear(means, *layers[0])), *layers[1]))
        expected = maps * gates.reshape(2, 8, *[1] * spatial_dims)
        assert gates.std() > 1e-3
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", U_NETS)
def test_convolutions_start_as_the_paper_says(architecture: Any) -> None:
    modules = stage(architecture, 2, 8, 64).modules()
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    assert convolutions
    for conv in convolutions:
        assert conv.bias is not None and conv.bias.abs().max() == 0
        fan_in = conv.weight[0].numel()
        assert conv.weight.square().mean().item() * fan_in == pytest.approx(2, rel=0.3)
