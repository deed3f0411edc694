from __future__ import annotations

import pytest
import torch

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.registration import folded_share, integrate, warp
from monai_hyperscale.tasks.registration.instance_optimization import optimize_instance


def pair(dims: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return images, fixed made from moving by a known smooth field, and that field."""
    sizes = (22, 25, 18)[:dims]
    ticks = torch.meshgrid(*[torch.linspace(0, 3, n) for n in sizes], indexing="ij")
    moving = sum(torch.sin((3 + 2 * n) * tick + n) for n, tick in enumerate(ticks))
    moving = (moving + torch.cos(ticks[0] * ticks[1] * 2))[None, None]
    field = torch.stack([1.5 * torch.sin(sum(ticks) / 2 + d) for d in range(dims)])[None]
    return {"moving": moving, "fixed": warp(moving, field)}, field


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("steps", [0, 5])
def test_known_field_comes_nearer(dims: int, steps: int) -> None:
    target, truth = pair(dims)
    to_field = (lambda v: integrate(v, steps)) if steps else (lambda u: u)
    start = truth / 3
    loss = RegistrationLoss(smoothness="gradient", weight=0.02)
    refined = optimize_instance(start, target, loss, 40, to_field)
    errors = [float((to_field(field) - truth).norm(dim=1).mean()) for field in (start, refined.field)]
    assert errors[1] < 0.6 * errors[0]
    assert refined.after < 0.5 * refined.before
    assert refined.after == pytest.approx(float(loss(to_field(refined.field), target)))
    assert folded_share(to_field(refined.field)).max() == 0
    assert not refined.field.requires_grad


def test_result_is_never_worse_than_the_start() -> None:
    target, truth = pair(2)
    loss = RegistrationLoss(weight=0.0)
    refined = optimize_instance(truth, target, loss, 3, learning_rate=50.0)
    assert torch.equal(refined.field, truth) and refined.after == refined.before
    assert torch.equal(optimize_instance(truth / 2, target, loss, 0).field, truth / 2)


def test_inside_inference_mode_is_fine_for_its_own_tensors() -> None:
    target, truth = pair(2)
    with torch.no_grad():
        assert optimize_instance(truth / 2, target, RegistrationLoss(), 2).after <= 10


def test_mistakes() -> None:
    target, truth = pair(2)
    with pytest.raises(RegistrationError, match="0 or more"):
        optimize_instance(truth, target, RegistrationLoss(), -1)
    with pytest.raises(RegistrationError, match="not a finite number"):
        optimize_instance(truth, {**target, "fixed": target["fixed"] * torch.nan}, RegistrationLoss(), 2)
