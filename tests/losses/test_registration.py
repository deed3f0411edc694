"""The loss of registration and its parts: against NumPy's, neurite's, MONAI's, and values known beforehand."""

from __future__ import annotations

import math
from typing import Any

import neurite
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.losses import BendingEnergyLoss, GlobalMutualInformationLoss

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.losses import (
    SIMILARITIES,
    SMOOTHNESS,
    BendingEnergy,
    LocalNCC,
    RegistrationLoss,
    SquaredGradient,
    TotalVariation,
)
from monai_hyperscale.registration.warping import warp

both_dimensions = pytest.mark.parametrize("sizes", [(13, 11), (9, 8, 7)])


def pair(sizes: tuple[int, ...], batch: int = 1) -> dict[str, torch.Tensor]:
    labels = torch.randint(0, 3, (2, batch, 1, *sizes)).float()
    images = torch.rand(2, batch, 1, *sizes)
    return {"moving": images[0], "fixed": images[1], "moving_label": labels[0], "fixed_label": labels[1]}


def a_field(sizes: tuple[int, ...], batch: int = 1, **options: Any) -> torch.Tensor:
    return torch.randn(batch, len(sizes), *sizes, **options)


# Similarity


def correlation_in_windows(a: np.ndarray, b: np.ndarray, window: int) -> float:
    """Return the mean squared correlation coefficient, window by window, cut off at the border."""
    inside = np.stack(np.meshgrid(*[np.arange(n) for n in a.shape], indexing="ij"), -1).reshape(-1, a.ndim)
    values = []
    for centre in inside:
        cut = tuple(slice(max(0, c - window // 2), c + window // 2 + 1) for c in centre)
        values.append(np.corrcoef(a[cut].ravel(), b[cut].ravel())[0, 1] ** 2)
    return float(np.mean(values))


@both_dimensions
@pytest.mark.parametrize("window", [3, 9])
def test_local_ncc_is_the_correlation_in_each_window(sizes: tuple[int, ...], window: int) -> None:
    a, b = torch.rand(2, 1, 1, *sizes).unbind()
    b = b + 0.7 * a
    expected = -correlation_in_windows(a[0, 0].double().numpy(), b[0, 0].double().numpy(), window)
    assert LocalNCC(window)(a, b).item() == pytest.approx(expected, abs=1e-4)
    for same in (a, 0.8 - 0.5 * a, a + 100):  # scale and offset are not seen
        assert LocalNCC(window)(same, a).item() == pytest.approx(-1, abs=1e-3)


@both_dimensions
@pytest.mark.parametrize("level", [0.0, 0.8, 1000.0])
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_flat_regions_neither_break_nor_count(sizes: tuple[int, ...], level: float, noise: float) -> None:
    a = (torch.full((1, 1, *sizes), level) + noise * torch.randn(1, 1, *sizes)).requires_grad_()
    value = LocalNCC(5)(a, torch.full((1, 1, *sizes), level) + noise * torch.randn(1, 1, *sizes))
    value.backward()
    assert -1e-3 < value.item() <= 0
    assert a.grad is not None and a.grad.isfinite().all() and a.grad.abs().max() < 1e-2


def test_a_flat_half_leaves_the_other_half_alone() -> None:
    a, b = torch.zeros(1, 1, 20, 8), torch.full((1, 1, 20, 8), 0.8)
    a[..., 10:, :] = torch.rand(10, 8)
    b[..., 10:, :] = 1 - a[..., 10:, :]
    assert -0.6 < LocalNCC(3)(a, b).item() < -0.4


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("sizes", [(13, 11), (9, 8, 7), (1, 1), (1, 7), (2, 3, 1), (1, 1, 1)])
def test_what_holds_for_every_similarity(name: str, sizes: tuple[int, ...]) -> None:
    loss = SIMILARITIES[name]()
    a, b = torch.rand(2, 2, 1, *sizes, dtype=torch.float64).unbind()
    a.requires_grad_()
    value = loss(a, b)
    value.backward()
    assert value.isfinite() and a.grad is not None and a.grad.isfinite().all()
    torch.testing.assert_close(value, torch.stack([loss(a[i : i + 1], b[i : i + 1]) for i in range(2)]).mean())
    if min(sizes) > 3:
        assert loss(b, b) < loss(b.flip(2), b)
        if name != "mi":  # whose bins are kept in float32
            assert torch.autograd.gradcheck(loss, (a[:1, :, :4, :5].detach().requires_grad_(), b[:1, :, :4, :5]))


# Smoothness


@both_dimensions
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # of MONAI's
def test_penalties_agree_with_neurite_and_monai(sizes: tuple[int, ...]) -> None:
    field = a_field(sizes, 2)
    reference: Any = neurite.nn.functional.spatial_gradient
    torch.testing.assert_close(TotalVariation()(field), reference(field, "l1"))
    torch.testing.assert_close(SquaredGradient()(field), reference(field, "l2"))
    torch.testing.assert_close(BendingEnergy()(field), BendingEnergyLoss()(field))


@pytest.mark.parametrize("name", SMOOTHNESS)
@both_dimensions
def test_what_holds_for_every_penalty(name: str, sizes: tuple[int, ...]) -> None:
    penalty, dims = SMOOTHNESS[name](), len(sizes)
    assert penalty(torch.full((2, dims, *sizes), 4.0)) == 0
    field = a_field(sizes, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(penalty, (field[..., :4, :3].clone().requires_grad_(),))
    torch.testing.assert_close(penalty(field), torch.stack([penalty(field[i : i + 1]) for i in range(2)]).mean())
    checkerboard = (torch.stack(torch.meshgrid(*[torch.arange(n) for n in sizes], indexing="ij")).sum(0) % 2).float()
    assert penalty(checkerboard.expand(1, dims, *sizes)) > 0.5
    with pytest.raises(RegistrationError, match="displacement field"):
        penalty(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("name", SMOOTHNESS)
def test_axes_that_are_too_short_do_not_count(name: str) -> None:
    for sizes in [(1, 1), (1, 7), (2, 5), (2, 2), (1, 5, 1), (1, 1, 1), (2, 6, 5)]:
        field = a_field(sizes, requires_grad=True)
        value = SMOOTHNESS[name]()(field)
        assert value.isfinite() and value >= 0
        value.backward()
        assert field.grad is not None and field.grad.isfinite().all()


# Their sum


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
    information = RegistrationLoss("mi").parts(field, target)["similarity"]
    torch.testing.assert_close(information, GlobalMutualInformationLoss()(moved, target["fixed"]))


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


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_flat_images_and_a_zero_field_have_a_gradient_without_nan(similarity: str) -> None:
    target = {"moving": torch.full((1, 1, 8, 8), 0.7), "fixed": torch.full((1, 1, 8, 8), 0.7)}
    field = torch.zeros(1, 2, 8, 8, requires_grad=True)
    for smoothness in SMOOTHNESS:
        loss = RegistrationLoss(similarity, smoothness)(field, target)
        loss.backward()
        assert loss.isfinite() and field.grad is not None and field.grad.isfinite().all()


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_compared_in_float32(similarity: str, dtype: torch.dtype) -> None:
    field, target = a_field((9, 8)).to(dtype), {key: value.to(dtype) for key, value in pair((9, 8)).items()}
    loss = RegistrationLoss(similarity, weight=0.1, dice_weight=1.0)
    value = loss(field, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(field.float(), {key: value.float() for key, value in target.items()}))


def test_what_cannot_be() -> None:
    target = pair((6, 5))
    with pytest.raises(RegistrationError, match="one grid"):
        RegistrationLoss()(a_field((5, 5)), target)
    with pytest.raises(RegistrationError, match="displacement field"):
        RegistrationLoss()(torch.rand(1, 3, 6, 5), target)
    with pytest.raises(RegistrationError, match="one shape"):
        RegistrationLoss()(a_field((6, 5)), {**target, "fixed": torch.rand(1, 1, 6, 1)})
    bad: list[tuple[dict[str, Any], str]] = [
        ({"similarity": "ssim"}, "similarity must be one of mse, lncc, mi, got 'ssim'"),
        ({"smoothness": "l1"}, "smoothness must be one of tv, gradient, bending, got 'l1'"),
        *(({"similarity": "lncc", "window": window}, "odd") for window in (0, 4, -3)),
        *(({name: value}, name) for name in ("weight", "dice_weight") for value in (-1.0, math.nan, math.inf)),
    ]
    for options, reason in bad:
        with pytest.raises(ConfigError, match=reason):
            RegistrationLoss(**options)
