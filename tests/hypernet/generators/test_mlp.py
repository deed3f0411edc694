from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.stats import kurtosis, skew

from monai_hyperscale.hypernet import HyperNetwork, IdentityEncoding, MLPGenerator

SHAPES = {"a.weight": (8, 4, 3, 3), "a.bias": (8,), "b.weight": (16, 8, 3, 3, 3), "b.bias": (16,)}


def parameters() -> dict[str, torch.Tensor]:
    return {name: torch.randn(shape) * (1 + i) for i, (name, shape) in enumerate(SHAPES.items())}


def numpy_weights(generator: MLPGenerator, encoded: np.ndarray) -> dict[str, np.ndarray]:
    """Return b + e(φ)·H, computed with NumPy from the generator's state only."""
    state = {name: value.double().numpy() for name, value in generator.state_dict().items()}
    e = encoded
    for index in range(len(generator.hidden)):
        e = state[f"layers.{index}.weight"] @ e + state[f"layers.{index}.bias"]
        e = np.where(e > 0, e, 0.01 * e)
    flat = state["base"] + e @ state["heads"]
    result, start = {}, 0
    for name, shape in SHAPES.items():
        result[name] = flat[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    assert start == flat.size
    return result


def assert_weights(generator: MLPGenerator, context: list[float], encoded: list[float]) -> None:
    generated, expected = generator(torch.tensor(context)), numpy_weights(generator, np.array(encoded))
    assert list(generated) == list(SHAPES)
    for name, value in generated.items():
        np.testing.assert_allclose(value.detach().numpy(), expected[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("init", ["residual", "paper", "paper_fan_out"])
def test_values(init: str) -> None:
    generator = MLPGenerator(hidden=(10, 7, 5), init=init)
    generator.bind(parameters())
    for layer in generator.layers:
        nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    assert f"hidden=(10, 7, 5), init={init}, tensors=4" in repr(generator)
    for phi in (0.0, 0.05, 0.3, 1.0):
        assert_weights(generator, [phi], [phi, 1 - phi])
    several = MLPGenerator(hidden=(6,), encoding=IdentityEncoding(0.5), init=init)
    several.bind(parameters(), width=2)
    assert_weights(several, [0.2, 0.7], [0.1, 0.35])


def test_residual_form_leaves_constant_tensors_alone() -> None:
    generator = MLPGenerator()
    generator.bind({"bias": torch.zeros(5), "scale": torch.ones(5)})
    generated = generator(torch.tensor([0.4]))
    assert (generated["bias"] == 0).all() and (generated["scale"] == 1).all()
    sum(value.square().sum() for value in generated.values()).backward()
    assert generator.heads.grad is not None and (generator.heads.grad[:, 5:] != 0).all()


@pytest.mark.parametrize(("init", "fan"), [("paper", "in"), ("paper_fan_out", "out")])
def test_paper_initialisation(init: str, fan: str) -> None:
    # SSHN 4.4 and A.1: Kaiming weights, zero biases, linear outputs; a head of its own per tensor.
    generator = MLPGenerator(hidden=(400, 100), init=init)
    generator.bind(parameters())
    assert not generator.base.any()
    slope = 2 / (1 + 0.01**2)  # Kaiming's gain² for LeakyReLU
    expected = [(2, 400, slope), (400, 100, slope)]
    assert [tuple(layer.weight.shape) for layer in generator.layers] == [(n, m) for m, n, _ in expected]  # type: ignore
    for layer, (inputs, outputs, gain) in zip(generator.layers, expected, strict=True):
        assert not layer.bias.any()  # type: ignore[operator]
        check_normal(layer.weight, gain / (inputs if fan == "in" else outputs))  # type: ignore[arg-type]
    total = sum(math.prod(shape) for shape in SHAPES.values())
    hidden = (2 * 400 + 400) + (400 * 100 + 100)
    assert sum(p.numel() for p in generator.parameters()) == hidden + 100 * total + total
    heads = generator.heads.split([math.prod(shape) for shape in SHAPES.values()], dim=1)
    for head, shape in zip(heads, SHAPES.values(), strict=True):
        check_normal(head, 1 / (100 if fan == "in" else math.prod(shape)))


def check_normal(weights: torch.Tensor, variance: float) -> None:
    """Check mean, variance, skewness and kurtosis against a normal distribution, to four standard errors."""
    values = weights.detach().double().flatten().numpy()
    n = values.size
    assert abs(values.mean()) < 4 * math.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 4 * math.sqrt(2 / n)
    assert abs(skew(values)) < 4 * math.sqrt(6 / n)
    assert abs(kurtosis(values)) < 4 * math.sqrt(24 / n)


def test_device_of_the_primary_network() -> None:
    net = HyperNetwork(nn.Conv2d(1, 2, 3, device="meta"), MLPGenerator(init="paper"))
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_bad_arguments() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"hidden": ()}, "hidden"),
        ({"hidden": (10, 0)}, "hidden"),
        ({"init": "xavier"}, "residual, paper, paper_fan_out"),
        ({"init": "paper", "reference": 0.5}, "reference"),
        ({"activation": 3}, "activation must be"),
    ]
    for options, message in bad:
        with pytest.raises(ValueError, match=message):
            MLPGenerator(**options)


def test_activation() -> None:
    generator = MLPGenerator(hidden=(6, 5), activation=["leakyrelu", {"negative_slope": 0.3}])
    generator.bind(parameters())
    first, second = generator.layers
    e = F.leaky_relu(second(F.leaky_relu(first(torch.tensor([0.2, 0.8])), 0.3)), 0.3)
    torch.testing.assert_close(generator.embed(torch.tensor([0.2])), e)
    layers = {f"layers.{i}.{name}" for i in (0, 1) for name in ("weight", "bias")}
    assert set(generator.state_dict()) == {*layers, "heads", "base"}


def test_weights_stay_as_they_are_at_the_reference() -> None:
    start = {"weight": torch.randn(4, 3), "bias": torch.zeros(4)}
    generator = MLPGenerator((5, 4), head_scale=1.0, reference=0.5)
    generator.bind(start)
    plain = MLPGenerator((5, 4), head_scale=1.0)
    plain.bind(start)
    plain.load_state_dict(generator.state_dict())
    with torch.no_grad():
        kept, other = generator(torch.tensor([0.5])), generator(torch.tensor([0.1]))
        difference = plain(torch.tensor([0.1]))["weight"] - plain(torch.tensor([0.5]))["weight"]
    assert all(torch.equal(kept[name], start[name]) for name in start)
    torch.testing.assert_close(other["weight"], start["weight"] + difference)
    assert difference.abs().max() > 1e-2
