from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator, WeightGenerator
from monai_hyperscale.networks import ScaleSpaceUNet
from tests.hypernet.examples import TwoInputs, strong
from tests.networks.comparisons import assert_threads_agree, copy_of
from tests.networks.references import assert_plain, assert_shares_nothing

PER_LEVEL = ContextSpec(ContextNumber("phi", count=None))


def test_values_and_gradients_in_several_threads() -> None:
    net = HyperNetwork(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), strong())
    x = torch.randn(1, 1, 8, 8)
    assert_threads_agree(lambda phi: net(x, phi=phi), [0.05, 0.5, 1.0], rounds=50)

    def gradient(phi: float) -> torch.Tensor:
        with torch.enable_grad():
            loss = net(x, phi=phi).square().sum()
            return torch.autograd.grad(loss, net.generator.heads)[0]  # type: ignore[arg-type]

    assert_threads_agree(gradient, [0.1, 0.9], rounds=30)


# --- calling


def test_ways_to_give_phi() -> None:
    net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4)), strong()).eval()
    x = torch.randn(1, 1, 9, 9)
    expected = net(x, phi=0.25)
    for phi in ([0.25], (0.25,), torch.tensor(0.25), torch.tensor([0.25]), torch.tensor(0.25, dtype=torch.float64)):
        torch.testing.assert_close(net(x, phi=phi), expected, atol=0, rtol=0)
        torch.testing.assert_close(net(x, phi), expected, atol=0, rtol=0)
        torch.testing.assert_close(net.fold(phi)(x), expected, atol=1e-5, rtol=0)


def test_further_arguments_reach_the_network() -> None:
    net = HyperNetwork(TwoInputs(), strong())
    left, right = torch.randn(1, 1, 4, 4), torch.randn(1, 2, 4, 4)
    expected = net(left, right, phi=0.3)["sum"]
    torch.testing.assert_close(net(left, right, 0.3)["sum"], expected)
    torch.testing.assert_close(net(left=left, right=right, phi=0.3)["sum"], expected)
    other = net(left, right, phi=0.3, scale=0.0)["sum"]
    torch.testing.assert_close(other, net.fold(0.3)(left, right, 0.0)["sum"])
    assert (other - expected).abs().max() > 1e-3
    with pytest.raises(PhiError, match=r"phi=.*fold\(phi\)"):
        net(left, right)


# --- several contexts


def test_a_context_per_level() -> None:
    net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4, 4)), strong(), context=PER_LEVEL).eval()
    x = torch.randn(1, 1, 19, 16)
    torch.testing.assert_close(net(x, phi=0.4), net(x, phi=[0.4] * 3), atol=0, rtol=0)
    phis = [0.7, 0.4, 0.2]
    y = net(x, phi=phis)
    torch.testing.assert_close(net(x, phi=torch.tensor(phis)), y, atol=0, rtol=0)
    for level in range(3):
        others = list(phis)
        others[level] += 1e-3  # too little for another size, so what changes is the weights
        assert (net(x, phi=others) - y).abs().max() > 1e-6
    assert net.generator.layers[0].in_features == 6  # type: ignore[index, union-attr]


@pytest.mark.parametrize("count", [2, 4])
def test_values_are_one_or_one_per_level(count: int) -> None:
    context = ContextSpec(ContextNumber("phi", count=count))
    with pytest.raises(ValueError, match=f"count of phi must be 1 or 3, one per level, .*ScaleSpaceUNet; got {count}"):
        HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4, 4)), context=context)
    with pytest.raises(ValueError, match="Conv2d does not say how many levels it has; give phi a count"):
        HyperNetwork(nn.Conv2d(1, 1, 1), context=PER_LEVEL)


class Blurs(nn.Module):
    """A network that takes one number of the context itself, and leaves the other to the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor, dose: float) -> torch.Tensor:
        return dose * self.convolution(x)


def test_numbers_of_ones_own() -> None:
    dose = ContextNumber("dose", 10.0, 20.0, limits=(0.0, 100.0))
    net = HyperNetwork(Blurs(), strong(), context=ContextSpec(dose, ContextNumber("noise", 0.2, 0.6, default=0.4)))
    x = torch.randn(1, 1, 6, 5)
    with torch.no_grad():
        y = net(x, dose=12.0, noise=0.3)
        weights = net.generate(dose=12.0, noise=0.3)
        expected = 12.0 * F.conv2d(x, weights["convolution.weight"], weights["convolution.bias"])
        torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-5)
        # The generator sees the numbers in the order of the context.
        flat = net.generator(torch.tensor([12.0, 0.3]))
        torch.testing.assert_close(weights, flat, atol=0, rtol=0)
        torch.testing.assert_close(net(x, **net.context(dose=12.0)), net(x, dose=12.0, noise=0.4), atol=0, rtol=0)
    for call in (lambda **numbers: net(x, **numbers), net.fold, net.generate):
        with pytest.raises(PhiError, match=r"takes dose and noise, not nois; did you mean noise\?"):
            call(dose=12.0, nois=0.3)
        with pytest.raises(PhiError, match="takes dose and noise, not phi"):
            call(phi=0.3)
        with pytest.raises(PhiError, match=r"call the network with dose=\.\.\."):
            call(noise=0.3)
        with pytest.raises(PhiError, match="dose must be a number between 0 and 100, got 101"):
            call(dose=101)


def test_what_is_frozen_stays_as_it_is() -> None:
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4))
    frozen = dict(list(primary.named_parameters())[:2])
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    net = HyperNetwork(primary)
    assert frozen and not set(frozen) & set(net.generated)
    net(torch.rand(1, 1, 9, 7), phi=0.3).square().mean().backward()
    left = dict(net.primary.named_parameters())
    assert all(left[name] is value and value.grad is None for name, value in frozen.items())
    assert all(value.grad is not None for value in net.parameters() if value.requires_grad)


# --- nesting


class Composite(nn.Module):
    """A network with a hypernetwork inside, at a φ of its own."""

    def __init__(self, select: str) -> None:
        super().__init__()
        self.inner = HyperNetwork(nn.Conv2d(1, 2, 3, padding=1), strong(), select=select)
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inner(x, phi=0.75))


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("all", "last.*"),
        ("all", "inner.generator.*"),
        ("all", "all"),
        ("weight", "inner.primary.*"),  # both generate parameters of one layer
        ("weight", "all"),
    ],
)
def test_nested(inner: str, outer: str) -> None:
    x = torch.randn(1, 1, 5, 5)
    network = Composite(inner).eval()
    expected = network(x)
    net = HyperNetwork(network, MLPGenerator(head_scale=0), select=outer).eval()
    torch.testing.assert_close(net(x, phi=0.25), expected, atol=1e-5, rtol=1e-5)
    assert "generated" in repr(net)

    net = HyperNetwork(Composite(inner), strong(), select=outer).eval()
    y = net(x, phi=0.25)
    assert (net(x, phi=0.9) - y).abs().max() > 1e-4
    plain: Any = net.fold(0.25)
    torch.testing.assert_close(plain(x), y, atol=1e-5, rtol=1e-5)
    assert_shares_nothing(plain, net)
    # The inner hypernetwork is part of the primary network and stays one; it folds by itself.
    torch.testing.assert_close(plain.last(plain.inner.fold(0.75)(x)), y, atol=1e-5, rtol=1e-5)
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    copied = copy_of(net, "deepcopy")
    torch.testing.assert_close(copied(x, phi=0.25), y, atol=0, rtol=0)


def test_hypernetwork_of_a_hypernetwork() -> None:
    network = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4)), MLPGenerator(hidden=(4,), head_scale=1))
    net = HyperNetwork(network, MLPGenerator(hidden=(4, 2), head_scale=1), select="all").eval()
    assert {"generator.heads", "generator.base", "primary.body.encoder.0.norm0.weight"} < set(net.generated)
    assert not list(net.primary.parameters())
    x = torch.randn(1, 1, 9, 9)
    with torch.no_grad():
        for phi in (0.2, 0.7):
            plain = net.fold(phi)
            torch.testing.assert_close(plain(x), net(x, phi=phi), atol=1e-5, rtol=1e-5)
            assert_plain(plain)
            assert_shares_nothing(plain, net)


# --- training and numbers


def test_autocast_keeps_generated_weights_exact() -> None:
    net = HyperNetwork(nn.Conv2d(1, 4, 3), strong())
    expected = net.generate(0.3)
    seen = []
    net.primary.register_forward_hook(lambda module, args, output: seen.append((module.weight, output)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(net.generate(0.3), expected, atol=0, rtol=0)  # of its dtype, float32
        net(torch.randn(1, 1, 5, 5), phi=0.3)
        plain: Any = net.fold(0.3)
        assert torch.is_autocast_enabled("cpu")
    weight, output = seen[0]
    assert output.dtype == torch.bfloat16
    for found in (weight, plain.weight.data):
        torch.testing.assert_close(found, expected["weight"], atol=0, rtol=0)


def test_fold_in_inference_mode() -> None:
    net = HyperNetwork(nn.Conv2d(1, 2, 3), strong())
    x = torch.randn(1, 1, 6, 6)
    with torch.inference_mode():
        torch.testing.assert_close(net.fold(0.5)(x), net(x, phi=0.5), atol=1e-5, rtol=0)


def test_buffers_belong_to_the_fold_too() -> None:
    net = HyperNetwork(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), strong())
    net(torch.randn(4, 1, 8, 8), phi=0.5)
    plain: Any = net.fold(0.5)
    mean = plain[1].running_mean.clone()
    assert mean.any()
    net(torch.randn(4, 1, 8, 8) + 3, phi=0.5)
    torch.testing.assert_close(plain[1].running_mean, mean, atol=0, rtol=0)


class Stored(WeightGenerator):
    """A table of weights for each of ten φ: what a generator must offer, and no more."""

    def bind(self, parameters: Any, width: int = 1, keep_start: Any = ()) -> None:
        self.names = {name: name.replace(".", "_") for name in parameters}
        for name, value in parameters.items():
            self.register_buffer(self.names[name], torch.stack([value * i for i in range(10)]))

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        index = min(9, int(context[0] * 10))
        return {name: getattr(self, key)[index] for name, key in self.names.items()}


def test_generator_of_ones_own() -> None:
    conv = nn.Conv2d(1, 2, 3)
    weight = conv.weight.detach().clone()
    net = HyperNetwork(conv, Stored())
    torch.testing.assert_close(net.fold(0.35).weight, nn.Parameter(3 * weight))
    assert net(torch.randn(1, 1, 5, 5), phi=0.35).shape == (1, 2, 3, 3)
    assert net(torch.zeros(1, 1, 4, 4), phi=224).isfinite().all()  # [0, 1] is the rule of φ-networks, and they check it
