from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.errors import GeneratedWeightError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from monai_hyperscale.hypernet.generated import generated_weights, restore_parameters, take_parameters


class Calling(nn.Module):
    """A convolution that calls back in the middle of its forward pass."""

    def __init__(self, callback: Any = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.callback = callback

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.callback is not None:
            self.callback()
        return y + self.conv.weight.mean()


X = torch.zeros(1, 1, 4, 4)


def assert_unreadable(net: Any) -> None:
    for name in ("weight", "bias"):
        with pytest.raises(GeneratedWeightError, match=rf"conv\.{name} is generated.*fold\(phi\)"):
            getattr(net.primary.conv, name)


def test_before_and_after_a_forward_pass() -> None:
    net = HyperNetwork(Calling())
    assert_unreadable(net)
    net(X, phi=0.5)
    assert_unreadable(net)
    net.fold(0.5)
    assert_unreadable(net)
    with pytest.raises(GeneratedWeightError):
        net.primary(X)
    with pytest.raises(GeneratedWeightError):
        copy.deepcopy(net.primary)(X)


def test_after_an_exception_inside_the_forward_pass() -> None:
    def fail() -> None:
        raise KeyError("broken on purpose")

    net = HyperNetwork(Calling(fail))
    with pytest.raises(KeyError, match="on purpose"):
        net(X, phi=0.5)
    assert_unreadable(net)
    net.primary.callback = None  # type: ignore[assignment]
    net(X, phi=0.5)


def test_in_another_thread_while_the_forward_pass_runs() -> None:
    errors: list[Optional[BaseException]] = []

    def read_elsewhere() -> None:
        with ThreadPoolExecutor(1) as pool:
            errors.append(pool.submit(lambda: net.primary.conv.weight).exception())  # type: ignore[union-attr]

    net = HyperNetwork(Calling(read_elsewhere))
    net(X, phi=0.5)
    assert [type(error) for error in errors] == [GeneratedWeightError]


def test_a_call_inside_a_call() -> None:
    inner: list[Any] = []

    def again() -> None:
        if not inner:
            inner.append(None)
            inner[0] = net(X, phi=0.9)

    net: Any = HyperNetwork(Calling(again), MLPGenerator(head_scale=1))
    outer = net(X, phi=0.1)
    torch.testing.assert_close(outer, net(X, phi=0.1), atol=0, rtol=0)
    torch.testing.assert_close(inner[0], net(X, phi=0.9), atol=0, rtol=0)
    assert (outer - inner[0]).abs().max() > 1e-3


def test_layers_with_hand_made_weights() -> None:
    network = Calling()
    scope, values = take_parameters(network, ["conv.weight", "conv.bias"])
    assert {name: value.shape for name, value in values.items()} == {"conv.weight": (2, 1, 3, 3), "conv.bias": (2,)}
    with generated_weights(scope, {"conv.weight": torch.ones(2, 1, 3, 3), "conv.bias": torch.tensor([0.0, 5.0])}):
        assert network.conv.weight.sum() == 18
        y = network(torch.ones(1, 1, 3, 3))
        with generated_weights(scope, {"conv.weight": torch.zeros(2, 1, 3, 3), "conv.bias": torch.zeros(2)}):
            assert not network(torch.ones(1, 1, 3, 3)).any()
        assert network.conv.bias is not None and network.conv.bias[1] == 5
    assert y[0, :, 1, 1].tolist() == [10, 15]
    restore_parameters(network, scope, values)
    assert type(network.conv) is nn.Conv2d
    torch.testing.assert_close(network.conv.weight.detach(), values["conv.weight"])
    assert [name for name, _ in network.named_parameters()] == ["conv.weight", "conv.bias"]


def test_two_scopes_in_one_layer() -> None:
    layer = nn.Conv2d(1, 1, 1)
    weight_scope, weight = take_parameters(layer, ["weight"])
    bias_scope, bias = take_parameters(layer, ["bias"])
    assert "generated" in repr(layer)
    with generated_weights(weight_scope, {"weight": torch.full((1, 1, 1, 1), 2.0)}):
        with pytest.raises(GeneratedWeightError, match="bias"):
            layer(X)
        with generated_weights(bias_scope, {"bias": torch.full((1,), 3.0)}):
            assert (layer(X + 1) == 5).all()
    # Undone in the order they were taken, not the reverse.
    restore_parameters(layer, weight_scope, weight)
    with generated_weights(bias_scope, {"bias": torch.full((1,), 3.0)}):
        torch.testing.assert_close(layer(X), X + 3)
    with pytest.raises(GeneratedWeightError, match="bias"):
        layer(X)
    restore_parameters(layer, bias_scope, bias)
    assert type(layer) is nn.Conv2d
    assert layer(X).isfinite().all()


def test_copies_have_weights_of_their_own() -> None:
    net = HyperNetwork(Calling(), MLPGenerator(head_scale=1))
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_unreadable(copied)
        seen: list[torch.Tensor] = []
        copied.primary.callback = lambda seen=seen: seen.append(net(X + 1, phi=0.2))
        y = copied(X, phi=0.7)
        copied.primary.callback = None
        torch.testing.assert_close(copied(X, phi=0.7), y, atol=0, rtol=0)
        torch.testing.assert_close(net(X, phi=0.7), y, atol=0, rtol=0)
        torch.testing.assert_close(net(X + 1, phi=0.2), seen[0], atol=0, rtol=0)
