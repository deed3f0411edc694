from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.layers import VariableResize, rescaled_size, rescaling_factor, resize_like
from monai_hyperscale.networks.layers.resize import interpolation_mode


def exact_size(n: int, phi: str, rounding: str) -> int:
    """The papers' formulas over exact fractions; ``phi`` in decimals, as it is written."""
    exact = Fraction(phi) * n
    whole = {"nearest": math.floor(exact + Fraction(1, 2)), "ceil": math.ceil(exact), "floor": math.floor(exact)}
    return max(1, whole[rounding])


@pytest.mark.parametrize("rounding", ["nearest", "ceil", "floor"])
def test_size_is_the_exact_formula(rounding: str) -> None:
    sizes = [*range(1, 66), 100, 125, 128, 155, 160, 192, 240, 255, 256, 511, 512, 1000]
    for i in range(101):
        expected = [exact_size(n, f"{i / 100:.2f}", rounding) for n in sizes]
        # 0.7 is 0.699999988 in float32, which is still seven tenths to whoever drew it.
        for phi in (i / 100, torch.tensor(i / 100), np.float32(i / 100), torch.tensor([i / 100])):
            assert list(rescaled_size(sizes, phi, rounding)) == expected, phi  # type: ignore[arg-type]
    draw = random.Random(0)
    for _ in range(2000):
        n, four = draw.randint(1, 1000), f"{draw.randint(0, 10000) / 10000:.4f}"
        assert rescaled_size(n, float(four), rounding) == exact_size(n, four, rounding), (n, four)


def test_size_types() -> None:
    # A half goes up; Python's round would give 12.
    assert [rescaled_size(25, 0.5, rounding) for rounding in ("nearest", "ceil", "floor")] == [13, 13, 12]
    assert isinstance(rescaled_size(9, 0.5), int) and isinstance(rescaled_size(np.int64(9), 0.5), int)
    assert rescaled_size((48, 33, 17), 0.25) == (12, 8, 4)
    assert rescaled_size(torch.zeros(1, 1, 9, 5).shape[2:], 0.5) == (5, 3)
    assert rescaled_size(np.array([9, 5]), 0.5) == (5, 3)  # type: ignore[call-overload]


def test_what_is_no_size_or_factor_is_refused() -> None:
    bad: list[Any] = [0, -3, (8, 0), "12", (2.5, 3), 7.0]
    for size in bad:
        with pytest.raises((ValueError, TypeError), match="whole number of voxels|not iterable"):
            rescaled_size(size, 0.5)
    for call in (lambda phi: rescaled_size(8, phi), VariableResize(2).fix):
        with pytest.raises(PhiError, match="phi must be a number between 0 and 1"):
            call(1 + 1e-9)
    with pytest.raises(ValueError, match="rounding must be one of nearest, ceil, floor"):
        rescaled_size(8, 0.5, "round")


def centres(n: int, target: int) -> np.ndarray:
    """Return where the centres of ``target`` voxels lie among ``n`` voxels over the same extent."""
    return (np.arange(target) + 0.5) * n / target - 0.5


def linear_reference(x: np.ndarray, target: tuple[int, ...]) -> np.ndarray:
    grid = np.meshgrid(*[centres(n, m) for n, m in zip(x.shape, target, strict=True)], indexing="ij")
    return map_coordinates(x, grid, order=1, mode="nearest")


def nearest_reference(x: np.ndarray, target: tuple[int, ...]) -> np.ndarray:
    for axis, (n, m) in enumerate(zip(x.shape, target, strict=True)):
        x = x.take([(2 * i + 1) * n // (2 * m) for i in range(m)], axis=axis)
    return x


REFERENCES = {"linear": linear_reference, "nearest": nearest_reference}
SHAPES: dict[int, list[tuple[int, ...]]] = {
    1: [(13,)],
    2: [(12, 12), (13, 7), (1, 9), (1, 1)],
    3: [(8, 8, 8), (11, 6, 5), (1, 4, 7), (1, 1, 1)],
}


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_values(spatial_dims: int, mode: str) -> None:
    layer = VariableResize(spatial_dims, mode=mode)
    for phi, sizes in itertools.product((0, 0.05, 0.25, 0.5, 0.77, 1), SHAPES[spatial_dims]):
        x = torch.randn(2, 3, *sizes, dtype=torch.float64)
        target = tuple(rescaled_size(sizes, phi))
        with rescaling_factor(phi):
            y = layer(x)
        back = resize_like(y, x, interpolation_mode(mode, spatial_dims))
        assert y.shape == (2, 3, *target) and back.shape == x.shape
        for b, c in ((0, 0), (1, 2)):
            expected = REFERENCES[mode](x[b, c].numpy(), target)
            np.testing.assert_allclose(y[b, c].numpy(), expected, atol=1e-12)
            np.testing.assert_allclose(back[b, c].numpy(), REFERENCES[mode](expected, sizes), atol=1e-12)


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_half_is_average_pooling(spatial_dims: int) -> None:
    x = torch.randn((2, 3) + (12,) * spatial_dims)
    pool = {1: torch.nn.AvgPool1d, 2: torch.nn.AvgPool2d, 3: torch.nn.AvgPool3d}[spatial_dims](2)
    with rescaling_factor(0.5):
        torch.testing.assert_close(VariableResize(spatial_dims)(x), pool(x))


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_types_identity_and_gradient(mode: str) -> None:
    x, layer = torch.randn(1, 2, 9, 6, 5), VariableResize(3, mode=mode)
    with rescaling_factor(1):
        assert layer(x) is x
    with rescaling_factor(0.4):
        for dtype in (torch.bfloat16, torch.float64):
            y = layer(x.to(dtype))
            assert y.dtype == dtype
            torch.testing.assert_close(y.float(), layer(x), atol=0.02, rtol=0.02)
    layer = VariableResize(2, mode=mode)
    layer.fix(0.4)
    assert torch.autograd.gradcheck(layer, torch.randn(1, 1, 7, 5, dtype=torch.float64, requires_grad=True))


def test_fixed_factor_wins() -> None:
    layer = VariableResize(1, rounding="ceil")
    x = torch.zeros(1, 1, 9)
    layer.fix(0.5)
    assert layer(x).shape[-1] == 5
    with rescaling_factor(0.1):
        assert layer(x).shape[-1] == 5
        layer.fix(None)
        assert layer(x).shape[-1] == 1
    with pytest.raises(PhiError, match="no rescaling factor"):
        layer(x)


def test_prints_its_settings() -> None:
    layer = VariableResize(3, level=2, rounding="floor")
    assert repr(layer) == "VariableResize(phi=from context, level=2, mode=trilinear, rounding=floor)"
    layer.fix(0.3)
    assert "phi=0.3" in repr(layer)


@pytest.mark.parametrize("options", [{"spatial_dims": 4}, {"spatial_dims": 2, "mode": "area"}, {"rounding": "up"}])
def test_bad_arguments(options: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        VariableResize(**{"spatial_dims": 2, **options})


@pytest.mark.parametrize(("sizes", "layout"), [((5, 4), torch.channels_last), ((5, 1, 4), torch.channels_last_3d)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_one_voxel_keeps_the_layout_that_it_is_joined_with(sizes, layout, channels_last):
    reference = torch.rand(2, 3, *sizes)
    reference = reference.contiguous(memory_format=layout) if channels_last else reference
    voxel = torch.rand(2, 6, *[1] * len(sizes))
    mode = interpolation_mode("linear", len(sizes))
    grown = resize_like(voxel, reference, mode)
    torch.testing.assert_close(grown, F.interpolate(voxel, size=sizes, mode=mode, align_corners=False))
    joined = torch.cat([grown, reference], dim=1)
    assert joined.is_contiguous(memory_format=layout) == channels_last and joined.is_contiguous() != channels_last
