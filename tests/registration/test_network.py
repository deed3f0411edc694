"""The registration network around φ-networks, hypernetworks of it, and its folds."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet, VoxelMorphUNet

from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator, build_generator
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.networks.conversion import rescalable
from monai_hyperscale.registration.fields import integrate, resize_field
from monai_hyperscale.registration.network import FieldHead, RegistrationNetwork
from monai_hyperscale.registration.warping import warp
from tests.networks.comparisons import assert_same, relative_error
from tests.networks.network_tests import ODD, PhiNetworkTests, both_dimensions
from tests.networks.references import assert_plain, assert_shares_nothing


def unet(spatial_dims: int = 2, channels: int = 2, **options: Any) -> ScaleSpaceUNet:
    return ScaleSpaceUNet(spatial_dims, channels, 4, features=(4, 5, 6), **options)


def awake(network: RegistrationNetwork, std: float = 0.1) -> RegistrationNetwork:
    """Give the flow head weights as after training: those of the start hide everything else."""
    nn.init.normal_(network.head.flow.weight, std=std)
    nn.init.normal_(network.head.flow.bias, std=std)
    return network


class RegistrationTests(PhiNetworkTests):
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}
    half_output = torch.float32  # fields keep it, unlike logits

    def check_output(self, x: torch.Tensor, y: Any) -> None:
        assert y.shape == (x.shape[0], x.dim() - 2, *x.shape[2:])
        assert y.dtype == torch.float32


class TestDisplacement(RegistrationTests):
    def network(self, spatial_dims: int) -> nn.Module:
        return awake(RegistrationNetwork(unet(spatial_dims), spatial_dims))


class TestVelocityAtHalfSize(RegistrationTests):
    dimensions = (2,)
    exporters = ("torchscript",)

    def network(self, spatial_dims: int) -> nn.Module:
        return awake(RegistrationNetwork(unet(spatial_dims), spatial_dims, integration_steps=4, field_scale=0.5))


GENERATORS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "mlp", "hidden": (10, 8), "head_scale": 1.0},
    "dense": {"name": "mlp", "hidden": (10, 100), "init": "paper"},
    "dense, fan-out": {"name": "mlp", "hidden": (10, 100), "init": "paper_fan_out"},
    "linear": {"name": "linear"},
    "spline": {"name": "spline"},
    "film": {"name": "film", "head_scale": 0.5},
    "constant": {"name": "constant"},
}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("integration_steps", [0, 5])
def test_starts_near_zero_whatever_generates_it(name: str, integration_steps: int) -> None:
    network = RegistrationNetwork(unet(3, norm="group"), 3, integration_steps)
    net = HyperNetwork(network, build_generator(**GENERATORS[name]))
    x = torch.rand(1, 2, 9, 8, 7)
    assert any(parameter.startswith("head.flow") for parameter in net.generated)
    for phi in (0.0, 0.1, 0.5):
        field = net(x, phi=phi)
        assert 0 < field.abs().max() < 1e-2, phi
        assert torch.equal(net.generate(phi)["head.flow.bias"], torch.zeros(3))
        field.square().sum().backward()
        weights = [parameter.grad for parameter in net.generator.parameters() if parameter.grad is not None]
        assert any((grad != 0).any() for grad in weights)


def test_a_generated_head_learns_its_bias() -> None:
    """A start at zero must not be an end at zero."""
    for name in ("mlp", "dense", "film", "constant"):
        net = HyperNetwork(RegistrationNetwork(unet(), 2), build_generator(**GENERATORS[name]))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        x = torch.rand(1, 2, 12, 12)
        for _ in range(40):
            optimizer.zero_grad()
            loss = (net(x, phi=0.4) - 0.5).square().mean()
            loss.backward()
            optimizer.step()
        assert loss < 0.05, name


@both_dimensions
def test_moving_comes_first_and_the_field_warps_it_onto_the_fixed(spatial_dims: int) -> None:
    sizes = ODD[spatial_dims]
    torch.manual_seed(1)
    coarse = torch.rand(1, 1, *[5] * spatial_dims)
    mode = {2: "bilinear", 3: "trilinear"}[spatial_dims]
    moving = torch.nn.functional.interpolate(coarse, size=sizes, mode=mode)
    shift = torch.full((1, spatial_dims, *sizes), 1.0)
    fixed = warp(moving, shift)
    network = RegistrationNetwork(unet(spatial_dims), spatial_dims)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    before = (moving - fixed).square().mean()
    for _ in range(60):
        optimizer.zero_grad()
        field = network(torch.cat([moving, fixed], dim=1), phi=0.5)
        loss = (warp(moving, field) - fixed).square().mean() + 0.001 * field.diff(dim=2).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * before
    assert field.mean() > 0.3


@both_dimensions
def test_integration_and_half_size_are_what_they_say(spatial_dims: int) -> None:
    sizes = ODD[spatial_dims]
    network = awake(RegistrationNetwork(unet(spatial_dims), spatial_dims, integration_steps=5, field_scale=0.5)).eval()
    x = torch.rand(2, 2, *sizes)
    with torch.no_grad():
        velocity = network.velocity(x, phi=0.4)
        assert velocity.shape == (2, spatial_dims, *[(n + 1) // 2 for n in sizes])
        field = network(x, phi=0.4)
        torch.testing.assert_close(field, resize_field(integrate(velocity, 5), list(sizes)))
        plain = network.fold(0.4)
        torch.testing.assert_close(plain.velocity(x), velocity)
        # The inverse is the integral of the negative velocity, up to the finite number of steps.
        small = 0.1 * velocity
        there, back = integrate(small, 7), integrate(-small, 7)
        assert (back + warp(there, back)).abs().max() < 0.05
        assert not torch.allclose(field, 0 * field, atol=1e-3)
        still = awake(RegistrationNetwork(unet(spatial_dims), spatial_dims)).eval()  # without integration
        assert torch.equal(still.velocity(x, phi=0.3), still(x, phi=0.3))


def test_folds_are_scripted_with_integration() -> None:
    network = awake(RegistrationNetwork(unet(3), 3, integration_steps=3, field_scale=0.5))
    plain = HyperNetwork(network, MLPGenerator(hidden=(10, 8))).fold(0.3)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(plain), stream)
    stream.seek(0)
    scripted = torch.jit.load(stream)
    with torch.no_grad():
        for sizes in ((1, 1, 1), (13, 10, 9), (8, 16, 7)):
            x = torch.rand(1, 2, *sizes)
            assert_same(scripted(x), plain(x), 1e-4)
            assert_same(scripted.velocity(x), plain.velocity(x), 1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_regularisation_weight_as_a_context(count: int) -> None:
    network = awake(RegistrationNetwork(unet(), 2))
    spec = ContextSpec(ContextNumber("phi", count=count), ContextNumber("regularization", default=0.5))
    net = HyperNetwork(network, MLPGenerator(hidden=(10, 8), head_scale=1.0), context=spec)
    x = torch.rand(1, 2, 14, 11)
    with torch.no_grad():
        smooth, sharp = (net(x, phi=0.3, regularization=weight) for weight in (0.9, 0.1))
        assert (smooth - sharp).abs().max() > 1e-3  # the generator sees it
        assert_same(net.fold(phi=0.3, regularization=0.9)(x), smooth, 1e-5)
        assert_same(net(x, phi=torch.tensor(0.3), regularization=torch.tensor(0.9)), smooth, 1e-5)
        assert_same(net(x, phi=0.3), net(x, phi=0.3, regularization=0.5), 0)
        if count == 2:
            assert_same(net(x, phi=(0.3, 0.3), regularization=0.9), smooth, 1e-5)
    for phi, weight in [(0.3, 1.5), ((0.3, 0.2, 0.1), 0.1), (0.3, (0.1, 0.2))]:
        with pytest.raises(PhiError, match="phi must be|regularization must be"):
            net(x, phi=phi, regularization=weight)


def test_around_a_converted_network_of_voxelmorph() -> None:
    body = VoxelMorphUNet(3, 2, 6, (4, 4, 4, 4, 4, 4), (5, 5))
    network = awake(RegistrationNetwork(rescalable(body), 3))
    assert network.head.flow.in_channels == 3
    net = HyperNetwork(network)
    with torch.no_grad():
        x = torch.rand(1, 2, 23, 18, 13)  # sizes that VoxelMorph's own network refuses
        assert_same(net.fold(0.4)(x), net(x, phi=0.4), 1e-5)


def test_around_a_hypernetwork() -> None:
    spec = ContextSpec(ContextNumber("phi", count=None))
    backbone = HyperNetwork(unet(), MLPGenerator(hidden=(10, 8), head_scale=1.0), context=spec)
    network = awake(RegistrationNetwork(backbone, 2))
    x = torch.rand(1, 2, 13, 10)
    assert network.levels == 2
    with torch.no_grad():
        for phi in (0.3, (0.4, 0.2)):
            plain = network.fold(phi)
            assert_same(plain(x), network(x, phi=phi), 1e-5)
            assert_plain(plain)
            assert_shares_nothing(plain, network)


def test_with_a_factor_for_the_input() -> None:
    network = awake(RegistrationNetwork(unet(rescale_input=True), 2)).eval()
    x = torch.rand(1, 2, 23, 18)
    assert network.rescale_input and network.levels == 3 and network.context["phi"].spread(0.1) == (0.2, 0.1, 0.1)
    with torch.no_grad():
        y = network(x, phi=0.1)
        assert y.shape == (1, 2, 23, 18)
        assert_same(network.fold(0.1)(x), y, 1e-5)


def test_what_cannot_be_a_backbone() -> None:
    with pytest.raises(ValueError, match="goes by phi, got BasicUNet; make it one with rescalable"):
        RegistrationNetwork(BasicUNet(2, features=(4, 4, 4, 4, 4, 4)), 2)
    converted = rescalable(BasicUNet(2, 2, 2, features=(4, 4, 4, 4, 4, 4)))
    with pytest.raises(ValueError, match="BasicUNet.* channels.*features="):
        RegistrationNetwork(converted, 2)
    assert RegistrationNetwork(converted, 2, features=2)(torch.rand(1, 2, 17, 9), phi=0.4).shape == (1, 2, 17, 9)
    for dims in (1, 4, "3"):
        with pytest.raises(ValueError, match="spatial_dims"):
            RegistrationNetwork(unet(), dims)  # type: ignore[arg-type]
    for options in ({"integration_steps": -1}, {"field_scale": 0.0}, {"field_scale": 1.5}):
        with pytest.raises(ValueError, match=next(iter(options))):
            FieldHead(2, 4, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        RegistrationNetwork(unet(), 2, passes=0)
    network = RegistrationNetwork(unet(), 2)
    for call in (network, network.velocity):
        with pytest.raises(PhiError, match="fold"):
            call(torch.rand(1, 2, 8, 8))


@both_dimensions
def test_every_further_pass_refines_what_is_left(spatial_dims: int) -> None:
    once = awake(RegistrationNetwork(unet(spatial_dims), spatial_dims))
    twice = RegistrationNetwork(unet(spatial_dims), spatial_dims, passes=2)
    twice.load_state_dict(once.state_dict())
    moving, fixed = torch.rand(2, 2, 1, *(13, 9, 11)[:spatial_dims]).unbind()
    x = torch.cat([moving, fixed], dim=1)
    first = once(x, phi=0.4)
    second = once(torch.cat([warp(moving, first), fixed], dim=1), phi=0.4)
    # Warping twice is not warping by the composition only because it interpolates twice.
    expected = second + warp(first, second)
    assert relative_error(expected, first) > 0.05
    torch.testing.assert_close(twice(x, phi=0.4), expected)
    plain = twice.fold(0.4)
    torch.testing.assert_close(plain(x), expected)
    torch.testing.assert_close(torch.jit.script(plain)(x), expected)
