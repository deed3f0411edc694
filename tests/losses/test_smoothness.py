"""Penalties on the roughness of a field, against neurite's, MONAI's, and values known beforehand."""

from __future__ import annotations

from typing import Any

import neurite
import pytest
import torch
from monai.losses import BendingEnergyLoss

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.losses import SMOOTHNESS, BendingEnergy, SquaredGradient, TotalVariation, build_smoothness

every_penalty = pytest.mark.parametrize("name", SMOOTHNESS)
both_dimensions = pytest.mark.parametrize("sizes", [(7, 5), (5, 4, 7)])


@both_dimensions
def test_first_derivatives_agree_with_neurite(sizes: tuple[int, ...]) -> None:
    field = torch.randn(2, len(sizes), *sizes)
    reference: Any = neurite.nn.functional.spatial_gradient
    torch.testing.assert_close(TotalVariation()(field), reference(field, "l1"))
    torch.testing.assert_close(SquaredGradient()(field), reference(field, "l2"))


@both_dimensions
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # of MONAI's
def test_bending_energy_agrees_with_monai(sizes: tuple[int, ...]) -> None:
    field = torch.randn(2, len(sizes), *sizes)
    torch.testing.assert_close(BendingEnergy()(field), BendingEnergyLoss()(field))


@both_dimensions
def test_a_ramp_costs_its_slope_and_no_bending(sizes: tuple[int, ...]) -> None:
    field = torch.zeros(1, len(sizes), *sizes)
    ramp = 3.0 * torch.arange(sizes[0])
    field[:, 1] = ramp.reshape(-1, *[1] * (len(sizes) - 1))
    cells = len(sizes) ** 2  # one of D components changes along one of D axes
    torch.testing.assert_close(TotalVariation()(field), torch.tensor(3.0 / cells))
    torch.testing.assert_close(SquaredGradient()(field), torch.tensor(9.0 / cells))
    assert BendingEnergy()(field) == 0


def test_a_step_costs_as_much_as_a_ramp_in_total_variation_alone() -> None:
    step, ramp = torch.zeros(1, 2, 11, 3), torch.zeros(1, 2, 11, 3)
    step[:, 0, 5:] = 10.0
    ramp[:, 0] = torch.arange(11.0)[:, None]
    torch.testing.assert_close(TotalVariation()(step), TotalVariation()(ramp))
    assert SquaredGradient()(step) > 5 * SquaredGradient()(ramp)


@every_penalty
@both_dimensions
def test_what_holds_for_all(name: str, sizes: tuple[int, ...]) -> None:
    penalty = build_smoothness(name)
    dims = len(sizes)
    assert penalty(torch.full((2, dims, *sizes), 4.0)) == 0
    field = torch.randn(2, dims, *sizes, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(penalty, (field.detach()[..., :4, :3].requires_grad_(),))
    one = torch.stack([penalty(field[i : i + 1]) for i in range(2)]).mean()
    torch.testing.assert_close(penalty(field), one)
    checkerboard = (torch.stack(torch.meshgrid(*[torch.arange(n) for n in sizes], indexing="ij")).sum(0) % 2).float()
    assert penalty(checkerboard.expand(1, dims, *sizes)) > 0.5


@every_penalty
@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (2, 5), (2, 2), (1, 5, 1), (1, 1, 1), (2, 6, 5)])
def test_axes_that_are_too_short_do_not_count(name: str, sizes: tuple[int, ...]) -> None:
    field = torch.randn(1, len(sizes), *sizes, requires_grad=True)
    value = build_smoothness(name)(field)
    assert value.isfinite() and value >= 0
    value.backward()
    assert field.grad is not None and field.grad.isfinite().all()


def test_what_is_no_field_or_no_penalty() -> None:
    for name in SMOOTHNESS:
        with pytest.raises(RegistrationError, match="displacement field"):
            build_smoothness(name)(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ConfigError, match="tv, gradient, bending, got 'l3'"):
        build_smoothness("l3")
