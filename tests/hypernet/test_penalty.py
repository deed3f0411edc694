from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn as nn
from monai.losses import DiceLoss

from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.errors import TrainingError
from monai_hyperscale.hypernet import GENERATORS, GeneratedWeightPenalty, HyperNetwork, build_generator
from monai_hyperscale.inference import PhiPartsInferer
from tests.hypernet.examples import strong

X = torch.randn(2, 1, 8, 8)
LABEL = torch.zeros(2, 1, 6, 6)


def hypernetwork() -> HyperNetwork:
    return HyperNetwork(nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 1)), strong())


def nothing(y: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return (y * 0).sum()


def squares(net: HyperNetwork, phi: float) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in net.generate(phi).values()]).square().sum()


@pytest.mark.parametrize("name", GENERATORS)
def test_value_and_gradient(name: str) -> None:
    net = HyperNetwork(nn.Conv2d(1, 1, 3), build_generator(name))
    expected = squares(net, 0.2)
    wanted = torch.autograd.grad(0.5 * expected, net.generator.base)[0]  # type: ignore[arg-type]
    loss = GeneratedWeightPenalty(nothing, net, weight=0.5)
    value = loss(net(X, phi=0.2), LABEL)
    torch.testing.assert_close(value, 0.5 * expected)
    value.backward()
    torch.testing.assert_close(net.generator.base.grad, wanted)


def test_is_added_to_the_loss() -> None:
    net = hypernetwork()
    inner = DiceLoss(sigmoid=True)
    loss = GeneratedWeightPenalty(inner, net)
    calls: list[int] = []
    net.generator.register_forward_hook(lambda *_: calls.append(1))
    y = net(X, phi=0.4)
    value = loss(y, LABEL)
    assert len(calls) == 1  # nothing is generated twice
    torch.testing.assert_close(value, inner(y, LABEL) + 6.25e-5 * squares(net, 0.4))
    assert "weight=6.25e-05" in repr(loss)


def test_sees_the_pass_before_it() -> None:
    net = hypernetwork()
    loss = GeneratedWeightPenalty(nothing, net, weight=1.0)
    for phi in (0.1, 0.9):
        y = net(X, phi=phi)
        net.fold(0.5)
        with torch.no_grad():
            net(X, phi=0.3)
        torch.testing.assert_close(loss(y, LABEL), squares(net, phi))
        loss._records[0].passes.clear()  # squares() above was a pass too


def test_several_phi_of_a_step_count_alike() -> None:
    net = hypernetwork()
    loss = GeneratedWeightPenalty(nothing, net, weight=1.0)
    expected = (squares(net, 0.1) + squares(net, 0.9)) / 2
    loss._records[0].passes.clear()
    y = PhiPartsInferer([0.1, 0.9])(torch.cat([X, X]), net)
    torch.testing.assert_close(loss(y, LABEL), expected)


def test_copies_have_records_of_their_own() -> None:
    # As the averaged network that validates during training is one.
    net = hypernetwork()
    loss = GeneratedWeightPenalty(nothing, net, weight=1.0)
    y = net(X, phi=0.1)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        copied(X, phi=0.9)
    expected = torch.cat([w.flatten() for w in copy.deepcopy(net).generate(0.1).values()]).square().sum()
    torch.testing.assert_close(loss(y, LABEL), expected)


def test_stale_weights_are_refused() -> None:
    net = hypernetwork()
    loss = GeneratedWeightPenalty(nn.MSELoss(), net)
    y = net(X, phi=0.3)
    loss(y, LABEL)
    with pytest.raises(TrainingError, match="before each call of the loss"):
        loss(y, LABEL)
    with torch.no_grad():
        y = net(X, phi=0.3)
    with pytest.raises(TrainingError, match="with gradients"):
        loss(y, LABEL)


def test_the_loss_alone() -> None:
    net = hypernetwork()
    y = net(X, phi=0.3)
    expected = nn.functional.mse_loss(y, LABEL)
    none = GeneratedWeightPenalty(nn.MSELoss(), net, weight=0)
    torch.testing.assert_close(none(y, LABEL), expected, atol=0, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(GeneratedWeightPenalty(nn.MSELoss(), net)(y, LABEL), expected, atol=0, rtol=0)


def test_all_hypernetworks_inside() -> None:
    nets = nn.Sequential(
        HyperNetwork(nn.Conv2d(1, 2, 3), strong(), context=ContextSpec(ContextNumber("phi", default=0.3))), nn.ReLU()
    )
    nets.append(HyperNetwork(nn.Conv2d(2, 1, 1), strong(), context=ContextSpec(ContextNumber("phi", default=0.7))))
    loss = GeneratedWeightPenalty(nothing, nets, weight=1.0)
    value = loss(nets(X), LABEL)
    torch.testing.assert_close(value, squares(nets[0], 0.3) + squares(nets[2], 0.7))  # type: ignore[arg-type]


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="Conv2d has no weight generator"):
        GeneratedWeightPenalty(nn.MSELoss(), nn.Conv2d(1, 1, 1))
    for weight in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="0 or more"):
            GeneratedWeightPenalty(nn.MSELoss(), hypernetwork(), weight=weight)
