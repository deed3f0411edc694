"""The loss of registration: what it is made of, labels, both directions and the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.losses import LocalNCC, RegistrationLoss, TotalVariation
from monai_hyperscale.registration.warping import warp

both_dimensions = pytest.mark.parametrize("sizes", [(13, 11), (9, 8, 7)])


def pair(sizes: tuple[int, ...], batch: int = 1) -> dict[str, torch.Tensor]:
    labels = torch.randint(0, 3, (2, batch, 1, *sizes)).float()
    images = torch.rand(2, batch, 1, *sizes)
    return {"moving": images[0], "fixed": images[1], "moving_label": labels[0], "fixed_label": labels[1]}


def a_field(sizes: tuple[int, ...], batch: int = 1, **options: Any) -> torch.Tensor:
    return torch.randn(batch, len(sizes), *sizes, **options)


@both_dimensions
def test_the_sum_of_its_parts(sizes: tuple[int, ...]) -> None:
    field, target = a_field(sizes, 2), pair(sizes, 2)
    moved = warp(target["moving"], field)
    similarity, smoothness = (moved - target["fixed"]).square().mean(), TotalVariation()(field)
    torch.testing.assert_close(RegistrationLoss(weight=0.3)(field, target), similarity + 0.3 * smoothness)
    loss = RegistrationLoss("lncc", "tv", weight=0.3, window=5)
    torch.testing.assert_close(loss(field, target), LocalNCC(5)(moved, target["fixed"]) + 0.3 * smoothness)
    assert set(loss.parts(field, target)) == {"similarity", "smoothness"}
    balanced = RegistrationLoss(weight=0.3, balance=True)
    torch.testing.assert_close(balanced(field, target), 0.7 * similarity + 0.3 * smoothness)
    balanced.weight = 1.0
    torch.testing.assert_close(balanced(field, target), smoothness)


@both_dimensions
def test_soft_dice_of_warped_labels(sizes: tuple[int, ...]) -> None:
    field, target = 0.4 * a_field(sizes), pair(sizes)
    maps = [F.one_hot(target[f"{which}_label"][:, 0].long(), 3).movedim(-1, 1).float() for which in ("moving", "fixed")]
    moved, fixed = warp(maps[0], field)[:, 1:], maps[1][:, 1:]
    axes = list(range(2, moved.dim()))
    expected = 1 - (2 * (moved * fixed).sum(axes) + 1e-5) / (moved.sum(axes) + fixed.sum(axes) + 1e-5)
    loss = RegistrationLoss(dice_weight=0.5)
    torch.testing.assert_close(loss.parts(field, target)["dice"], expected.mean())
    torch.testing.assert_close(loss(field, target), RegistrationLoss()(field, target) + 0.5 * expected.mean())
    one_hot = {**target, "moving_label": maps[0], "fixed_label": maps[1]}
    torch.testing.assert_close(loss(field, one_hot), loss(field, target))
    # Of labels that none has there is nothing to get wrong: they count as right.
    more = RegistrationLoss(classes=5, dice_weight=1.0).parts(field, target)["dice"]
    torch.testing.assert_close(more, expected.mean() / 2)


def test_dice_is_least_where_labels_meet() -> None:
    label = torch.zeros(1, 1, 16, 16)
    label[..., 4:10, 5:11] = 1
    target = {"moving": torch.zeros(1, 1, 16, 16), "fixed": torch.zeros(1, 1, 16, 16)}
    target |= {"moving_label": label, "fixed_label": label.roll(2, 2)}
    loss = RegistrationLoss(dice_weight=1.0)
    values = []
    for shift in (0.0, -1.0, -2.0, -3.0):
        field = torch.zeros(1, 2, 16, 16)
        field[:, 0] = shift
        values.append(loss.parts(field, target)["dice"].item())
    assert values[2] == pytest.approx(0, abs=1e-4) and values[0] > values[1] > values[2] < values[3]
    field = torch.zeros(1, 2, 16, 16, requires_grad=True)
    loss(field, target).backward()
    assert field.grad is not None and field.grad[:, 0].sum() > 0  # one-hot maps warped linearly have a gradient


def test_labels_are_left_alone_without_a_weight_or_where_they_are_missing() -> None:
    target = pair((6, 5))
    assert "dice" not in RegistrationLoss().parts(a_field((6, 5)), target)
    bare = {"moving": target["moving"], "fixed": target["fixed"]}
    assert "dice" not in RegistrationLoss(dice_weight=1.0).parts(a_field((6, 5)), bare)
    empty = {**bare, "moving_label": torch.zeros(1, 1, 6, 5), "fixed_label": torch.zeros(1, 1, 6, 5)}
    assert RegistrationLoss(dice_weight=1.0)(a_field((6, 5)), empty).isfinite()


@both_dimensions
@pytest.mark.parametrize(("similarity", "smoothness"), [("mse", "tv"), ("lncc", "bending")])
def test_gradcheck(sizes: tuple[int, ...], similarity: str, smoothness: str) -> None:
    small = (3,) * len(sizes)
    target = {key: value.double() for key, value in pair(small).items()}
    loss = RegistrationLoss(similarity, smoothness, dice_weight=0.5, window=3)
    # Away from whole voxels, where linear interpolation has a kink.
    field = (0.2 + 0.2 * torch.rand(1, len(sizes), *small, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda field: loss(field, target), field)


@pytest.mark.parametrize("similarity", ["mse", "lncc", "mi"])
def test_flat_images_and_a_zero_field_have_a_gradient_without_nan(similarity: str) -> None:
    target = {"moving": torch.full((1, 1, 8, 8), 0.7), "fixed": torch.full((1, 1, 8, 8), 0.7)}
    field = torch.zeros(1, 2, 8, 8, requires_grad=True)
    for smoothness in ("tv", "gradient", "bending"):
        loss = RegistrationLoss(similarity, smoothness)(field, target)
        loss.backward()
        assert loss.isfinite() and field.grad is not None and field.grad.isfinite().all()


def test_a_field_in_half_precision() -> None:
    field, target = a_field((9, 8)), pair((9, 8))
    loss = RegistrationLoss(weight=0.1, dice_weight=1.0)
    value = loss(field.bfloat16(), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(field.bfloat16().float(), target))
    half = {key: value.bfloat16() for key, value in target.items()}
    assert loss(field, half).dtype == torch.float32


def test_what_cannot_be() -> None:
    target = pair((6, 5))
    with pytest.raises(RegistrationError, match="one grid"):
        RegistrationLoss()(a_field((5, 5)), target)
    with pytest.raises(RegistrationError, match="displacement field"):
        RegistrationLoss()(torch.rand(1, 3, 6, 5), target)
    for name in ("weight", "dice_weight"):
        for value in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ConfigError, match=name):
                RegistrationLoss(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="similarity must be"):
        RegistrationLoss("ssim")
    with pytest.raises(ConfigError, match="smoothness must be"):
        RegistrationLoss(smoothness="l1")
