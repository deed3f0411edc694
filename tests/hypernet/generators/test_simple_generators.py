"""The constant, linear and spline generators against NumPy, SciPy and plain networks."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn
from scipy.interpolate import make_interp_spline

from monai_hyperscale.hypernet import (
    ConstantGenerator,
    HyperNetwork,
    IdentityEncoding,
    LinearGenerator,
    SplineGenerator,
)
from monai_hyperscale.networks import ScaleSpaceUNet


def test_constant_is_the_plain_network_and_trains_as_it_does() -> None:
    # The baselines Stochastic and Fixed are the plain network, to the bit but for the order of sums.
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4))
    plain = copy.deepcopy(primary)
    net = HyperNetwork(primary, ConstantGenerator())
    x = torch.randn(2, 1, 16, 16)
    for phi in (0, 0.1, 0.37, 0.5, 1):
        torch.testing.assert_close(net(x, phi=phi), plain(x, phi=phi), atol=0, rtol=0)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters())
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.9, 0.99)) for module in (net, plain)]
    for phi in (0.1, 0.5, 0.3):
        for module, optimizer in zip((net, plain), optimizers, strict=True):
            optimizer.zero_grad()
            module(x, phi=phi).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(net(x, phi=0.2), plain(x, phi=0.2), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("width", [1, 3])
def test_linear_values(width: int) -> None:
    start = {"weight": torch.randn(5, 4, 3, 3), "bias": torch.randn(5)}
    generator = LinearGenerator(head_scale=1.0)
    generator.bind(start, width)
    context = torch.rand(width)
    flat = torch.cat([value.flatten() for value in start.values()]).double().numpy()
    expected = flat + context.double().numpy() @ generator.heads.detach().double().numpy()
    generated = torch.cat([value.flatten() for value in generator(context).values()]).detach()
    np.testing.assert_allclose(generated.numpy(), expected, atol=1e-6)


def test_linear_is_the_linear_layer_of_san() -> None:
    # SAN section 3.1: a kernel is the output of a linear layer whose input is ε = 0.1·S/32.
    generator = LinearGenerator(encoding=IdentityEncoding(scale=0.1 / 32), head_scale=1.0)
    net = HyperNetwork(nn.Conv2d(2, 3, 3, bias=False), generator)
    learner = nn.Linear(1, 3 * 2 * 9)
    with torch.no_grad():
        learner.weight.copy_(generator.heads.t())
        learner.bias.copy_(generator.base)
    x = torch.randn(1, 2, 7, 7)
    for size in (96, 160, 224):
        kernel = learner(torch.tensor([0.1 * size / 32])).view(3, 2, 3, 3)
        torch.testing.assert_close(net(x, phi=size), nn.functional.conv2d(x, kernel), atol=1e-5, rtol=1e-5)


ANCHORS = (0.0, 0.1, 0.25, 0.5, 1.0)
PHIS = (0.0, 0.03, 0.1, 0.37, 0.5, 0.77, 1.0)


def bound(anchors: Any = ANCHORS, width: int = 1) -> tuple[SplineGenerator, torch.Tensor]:
    generator = SplineGenerator(anchors, head_scale=1.0)
    start = torch.randn(7, 3)
    generator.bind({"weight": start}, width)
    return generator, start


def curve(generator: SplineGenerator, level: int = 0) -> Any:
    """Return SciPy's curve through the changes at the anchors of one level."""
    places = generator.anchors.double().numpy()
    changes = generator.heads.detach().double().numpy()[level * places.size : (level + 1) * places.size]
    return make_interp_spline(places, changes, k=1)


@pytest.mark.parametrize("anchors", [ANCHORS, (0.0, 0.5), (0.05, 0.2, 0.5)])
def test_spline_values(anchors: tuple[float, ...]) -> None:
    generator, start = bound(anchors)
    for phi in PHIS:
        inside = min(max(phi, anchors[0]), anchors[-1])  # flat beyond the outer anchors
        expected = start.double().numpy() + curve(generator)(inside).reshape(7, 3)
        found = generator(torch.tensor([phi]))["weight"].detach().double().numpy()
        np.testing.assert_allclose(found, expected, atol=2e-6)
    assert set(generator.state_dict()) == {"heads", "base"}  # the anchors are of the settings


def test_spline_levels_add_up() -> None:
    generator, start = bound(width=3)
    phis = (0.07, 0.3, 0.9)
    expected = start.double().numpy() + sum(curve(generator, i)(phi) for i, phi in enumerate(phis)).reshape(7, 3)
    found = generator(torch.tensor(phis))["weight"].detach().double().numpy()
    np.testing.assert_allclose(found, expected, atol=3e-6)


@pytest.mark.parametrize("anchors", [(0.5,), (), (0.0, 0.5, 0.5), (0.5, 0.0), (0.0, float("nan"))], ids=str)
def test_bad_anchors(anchors: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="two or more increasing"):
        SplineGenerator(anchors)
