from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.hypernet import HyperNetwork, select_parameters


def network() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv3d(1, 2, 3), nn.GroupNorm(1, 2)),
        nn.ConvTranspose2d(2, 2, 2, bias=False),
        nn.Linear(4, 3),
    )


CONVOLUTIONS = ["0.0.weight", "0.0.bias", "1.weight"]
ALL = ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias", "1.weight", "2.weight", "2.bias"]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("convolutions", CONVOLUTIONS),
        ("norms", ["0.1.weight", "0.1.bias"]),
        ("convolutions+norms", ALL[:5]),
        ("norms+convolutions", ALL[:5]),
        ("all", ALL),
        ("0.*", ALL[:4]),
        (["2.weight", "0.*.bias"], ["0.0.bias", "0.1.bias", "2.weight"]),
        (("[12].weight",), ["1.weight", "2.weight"]),
        (lambda module, name: isinstance(module, nn.Linear) and name.endswith("bias"), ["2.bias"]),
    ],
)
def test_selectors(select: Any, expected: list[str]) -> None:
    assert select_parameters(network(), select) == expected
    net = HyperNetwork(network(), select=select)
    assert net.generated == tuple(expected)
    kept = [name for name, _ in net.primary.named_parameters()]
    assert kept == [name for name in ALL if name not in expected]


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm2d(2), nn.InstanceNorm3d(2, affine=True), nn.GroupNorm(1, 2), nn.LayerNorm(2)]
)
def test_what_counts_as_normalisation(layer: nn.Module) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), layer, nn.PReLU(), nn.Linear(2, 2))
    assert select_parameters(network, "norms") == ["1.weight", "1.bias"]
    with pytest.raises(ValueError, match="'norms' matches no parameter"):
        select_parameters(nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2)), "norms")


def test_convolutions_are_the_default() -> None:
    class Own(nn.Conv2d):
        pass

    assert HyperNetwork(network()).generated == tuple(select_parameters(network())) == tuple(CONVOLUTIONS)
    assert select_parameters(Own(1, 1, 1)) == ["weight", "bias"]
    with pytest.raises(ValueError, match="'convolutions' matches no parameter of Linear"):
        HyperNetwork(nn.Linear(2, 2))


@pytest.mark.parametrize(
    "select", ["encoder.*", [], ["weight"], "CONVOLUTIONS", "convolutions+", "norms+x", lambda module, name: False]
)
def test_nothing_selected(select: Any) -> None:
    with pytest.raises(ValueError, match="matches no parameter of Sequential"):
        select_parameters(network(), select)
    with pytest.raises(ValueError, match="^'typo.*' matches no parameter of Sequential"):  # nor may one of several
        select_parameters(network(), ["0.*", "typo*"])


def test_frozen_parameters_are_left_out() -> None:
    primary = network()
    names = select_parameters(primary, "all")
    primary.get_parameter(names[0]).requires_grad_(False)
    assert select_parameters(primary, "all") == names[1:]
    primary.requires_grad_(False)
    with pytest.raises(ValueError, match="'all' matches frozen parameters of Sequential alone"):
        select_parameters(primary, "all")


@pytest.mark.parametrize("twice", [False, True], ids=["weight", "layer"])
@pytest.mark.parametrize("select", ["convolutions", "one.*", "*.weight"])
def test_shared_parameters_are_refused(twice: bool, select: str) -> None:
    layers = {name: nn.Conv2d(1, 1, 1) for name in ("one", "two", "three")}
    layers["two"].weight = layers["one"].weight
    primary = nn.ModuleDict({**layers, "two": layers["one"]} if twice else layers)
    names = dict(primary.named_parameters())
    with pytest.raises(ValueError, match="one shared parameter"):
        HyperNetwork(primary, select=select)
    assert names.keys() == dict(primary.named_parameters()).keys()  # nothing was taken from it
    assert select_parameters(primary, "three.*") == ["three.weight", "three.bias"]


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_refused(layer: Any) -> None:
    # They keep a list of their weights, and would go on computing with those.
    primary = nn.Sequential(nn.Linear(2, 2), layer(2, 3))
    with pytest.raises(ValueError, match=f"{layer.__name__} also keeps it in _flat_weights"):
        HyperNetwork(primary, select="all")
    net = HyperNetwork(primary, select="0.*")
    output, _ = net(torch.randn(5, 1, 2), phi=0.3)
    assert output.shape == (5, 1, 3)
