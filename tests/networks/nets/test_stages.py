"""Residual and squeeze-and-excitation stages against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks import ScaleSpaceResidualUNet, ScaleSpaceSEUNet
from monai_hyperscale.networks.blocks import ConvolutionStage
from tests.networks.nets.test_architectures import U_NETS
from tests.networks.network_tests import both_dimensions


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
