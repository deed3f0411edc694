from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.hypernet import FiLMGenerator, HyperNetwork

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "convolution": (lambda: nn.Conv2d(4, 6, 3), (2, 4, 7, 5)),
    "without bias": (lambda: nn.Conv2d(4, 6, 3, bias=False), (2, 4, 7, 5)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 5)),
    "3D": (lambda: nn.Conv3d(4, 6, (1, 3, 1)), (2, 4, 3, 4, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 2, stride=2), (2, 4, 3, 5)),
    "transposed, square": (lambda: nn.ConvTranspose2d(4, 4, 2, stride=2), (2, 4, 3, 5)),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(4, 6, 2, groups=2), (2, 4, 3, 5)),
    "transposed, grouped, without bias": (lambda: nn.ConvTranspose3d(4, 8, 2, groups=4, bias=False), (2, 4, 2, 3, 3)),
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 5, 3)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 3)),
    "layer norm": (lambda: nn.LayerNorm(4), (5, 4)),
    "layer norm over two axes, without bias": (lambda: nn.LayerNorm((4, 3), bias=False), (5, 4, 3)),
}


def modulation(generator: Any, phi: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scales and shifts at φ of a generator with one layer, straight from its parameters."""
    e = torch.tensor([phi, 1 - phi])
    for layer in generator.layers:
        e = nn.functional.leaky_relu(layer(e))
    scales, shifts = (generator.heads @ e).chunk(2)
    return 1 + scales, shifts


@pytest.mark.parametrize("name", LAYERS)
def test_is_a_scale_and_a_shift_after_the_layer(name: str) -> None:
    build, shape = LAYERS[name]
    layer = build()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    plain = copy.deepcopy(layer)
    net = HyperNetwork(layer, FiLMGenerator(head_scale=1.0), select="all")
    x = torch.randn(shape)
    along = [1] * x.dim()
    along[-1 if name in ("linear", "layer norm") else 1] = -1
    start = HyperNetwork(copy.deepcopy(plain), FiLMGenerator(), select="all")
    (start(x, phi=0.3) * torch.randn_like(plain(x))).sum().backward()
    assert start.generator.heads.grad is not None and (start.generator.heads.grad != 0).any(dim=1).all()  # type: ignore
    for phi in (0.0, 0.37, 1.0):
        scale, shift = modulation(net.generator, phi)
        expected = plain(x) * scale.view(along) + shift.view(along)
        torch.testing.assert_close(net(x, phi=phi), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net.fold(phi)(x), expected, atol=1e-4, rtol=1e-4)
        assert (expected - plain(x)).abs().max() > 0.01
        torch.testing.assert_close(start(x, phi=phi), plain(x), atol=1e-6, rtol=1e-6)  # as the layer itself


def test_other_layers_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.PReLU())
    with pytest.raises(ValueError, match="but 1 is a PReLU"):
        HyperNetwork(network, FiLMGenerator(), select="all")
    assert network[0].bias is None and len(list(network.parameters())) == 2  # left as it was
    with pytest.raises(ValueError, match="the network is a PReLU"):
        HyperNetwork(nn.PReLU(), FiLMGenerator(), select="all")


@pytest.mark.parametrize("select", ["*.weight", "*.bias", ["0.weight", "1.*"]])
def test_half_a_layer_is_refused(select: Any) -> None:
    with pytest.raises(ValueError, match="weight and bias of 0"):
        HyperNetwork(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)), FiLMGenerator(), select=select)


def test_bound_without_a_bias() -> None:
    with pytest.raises(ValueError, match=r"weight and a bias of every layer, got 0\.weight"):
        FiLMGenerator().bind({"0.weight": torch.randn(2, 1, 3, 3)})
