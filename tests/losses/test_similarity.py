"""Measures of similarity, against NumPy's correlation coefficients, MONAI's, and images without contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import GlobalMutualInformationLoss

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.losses import SIMILARITIES, LocalNCC, MutualInformation, build_similarity

both_dimensions = pytest.mark.parametrize("sizes", [(13, 11), (9, 8, 7)])


def correlation_in_windows(a: np.ndarray, b: np.ndarray, window: int) -> float:
    """Return the mean squared correlation coefficient, window by window, cut off at the border."""
    inside = np.stack(np.meshgrid(*[np.arange(n) for n in a.shape], indexing="ij"), -1).reshape(-1, a.ndim)
    values = []
    for centre in inside:
        cut = tuple(slice(max(0, c - window // 2), c + window // 2 + 1) for c in centre)
        values.append(np.corrcoef(a[cut].ravel(), b[cut].ravel())[0, 1] ** 2)
    return float(np.mean(values))


@both_dimensions
@pytest.mark.parametrize("window", [3, 5, 9])
def test_local_ncc_is_the_correlation_in_each_window(sizes: tuple[int, ...], window: int) -> None:
    a, b = torch.rand(2, 1, 1, *sizes).unbind()
    b = b + 0.7 * a
    expected = -correlation_in_windows(a[0, 0].double().numpy(), b[0, 0].double().numpy(), window)
    assert LocalNCC(window)(a, b).item() == pytest.approx(expected, abs=1e-4)


@both_dimensions
@pytest.mark.parametrize("level", [0.0, 0.3, 0.8, 1000.0])
@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_flat_regions_neither_break_nor_count(sizes: tuple[int, ...], level: float, noise: float) -> None:
    a = (torch.full((1, 1, *sizes), level) + noise * torch.randn(1, 1, *sizes)).requires_grad_()
    b = torch.full((1, 1, *sizes), level) + noise * torch.randn(1, 1, *sizes)
    value = LocalNCC(5)(a, b)
    value.backward()
    assert -1e-3 < value.item() <= 0
    assert a.grad is not None and a.grad.isfinite().all() and a.grad.abs().max() < 1e-2


def test_a_flat_half_leaves_the_other_half_alone() -> None:
    a, b = torch.zeros(1, 1, 20, 8), torch.full((1, 1, 20, 8), 0.8)
    a[..., 10:, :] = torch.rand(10, 8)
    b[..., 10:, :] = 1 - a[..., 10:, :]
    a.requires_grad_()
    value = LocalNCC(3)(a, b)
    value.backward()
    assert -0.6 < value.item() < -0.4
    assert a.grad is not None and a.grad.isfinite().all()


@both_dimensions
def test_local_ncc_does_not_see_scale_and_offset(sizes: tuple[int, ...]) -> None:
    a = torch.rand(2, 1, *sizes)
    assert LocalNCC(5)(a, a).item() == pytest.approx(-1, abs=1e-4)
    assert LocalNCC(5)(0.8 - 0.5 * a, a).item() == pytest.approx(-1, abs=1e-3)
    assert LocalNCC(5)(a + 100, a).item() == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (2, 3, 1), (1, 1, 1)])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_tiny_images(name: str, sizes: tuple[int, ...]) -> None:
    a = torch.rand(2, 1, *sizes, requires_grad=True)
    value = build_similarity(name)(a, torch.rand(2, 1, *sizes))
    value.backward()
    assert value.isfinite() and a.grad is not None and a.grad.isfinite().all()


@pytest.mark.parametrize("name", SIMILARITIES)
@both_dimensions
def test_gradients_and_batches(name: str, sizes: tuple[int, ...]) -> None:
    loss = build_similarity(name, window=3)
    a = torch.rand(2, 1, *sizes, dtype=torch.float64, requires_grad=True)
    b = torch.rand(2, 1, *sizes, dtype=torch.float64)
    if name != "mi":  # whose bins are kept in float32
        assert torch.autograd.gradcheck(loss, (a[:1, :, :4, :5], b[:1, :, :4, :5]))
    alone = torch.stack([loss(a[i : i + 1], b[i : i + 1]) for i in range(2)]).mean()
    torch.testing.assert_close(loss(a, b), alone)
    same, other = loss(b, b), loss(b.flip(2), b)
    assert same < other


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_images_are_compared_in_float32(dtype: torch.dtype) -> None:
    a, b = torch.rand(2, 1, 1, 9, 8).to(dtype).unbind()
    for loss in (LocalNCC(3), MutualInformation()):
        value = loss(a, b)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(a.float(), b.float()))


def test_mutual_information_is_monais_and_sees_through_other_contrast() -> None:
    b = torch.rand(1, 1, 12, 11)
    a = (b - 0.5).abs() * 2
    torch.testing.assert_close(MutualInformation()(a, b), GlobalMutualInformationLoss()(a, b))
    assert MutualInformation()(a, b) < 2 * MutualInformation()(a, torch.rand(1, 1, 12, 11))
    flat = torch.zeros(1, 1, 12, 11, requires_grad=True)
    value = MutualInformation()(flat, b)
    value.backward()
    assert value.isfinite() and flat.grad is not None and flat.grad.isfinite().all()


def test_what_cannot_be_compared() -> None:
    for name in ("lncc", "mi"):
        for shape in ((1, 1, 4, 5), (2, 1, 4, 4), (1, 1, 4, 4, 1)):
            with pytest.raises(RegistrationError, match="one shape"):
                build_similarity(name)(torch.rand(1, 1, 4, 4), torch.rand(shape))
    for window in (0, 4, -3):
        with pytest.raises(ConfigError, match="odd"):
            build_similarity("lncc", window)
    with pytest.raises(ConfigError, match="flat"):
        LocalNCC(flat=0)
    with pytest.raises(ConfigError, match="bins"):
        MutualInformation(bins=1)
    with pytest.raises(ConfigError, match="mse, lncc, mi, got 'ssd'"):
        build_similarity("ssd")
