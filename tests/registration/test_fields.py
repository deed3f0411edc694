from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.integrate import solve_ivp
from scipy.ndimage import gaussian_filter, map_coordinates
from voxelmorph.nn.functional import integrate_vec

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.registration import (
    compose,
    folded_share,
    integrate,
    invert,
    jacobian_determinant,
    resize_field,
    voxel_grid,
)


def smooth(sizes: tuple[int, ...], amplitude: float, sigma: float = 4.0, seed: int = 0, batch: int = 1) -> torch.Tensor:
    """A smooth random field of so many voxels at its greatest, float64."""
    draw = np.random.default_rng(seed)
    parts = np.stack([gaussian_filter(draw.standard_normal(sizes), sigma) for _ in range(batch * len(sizes))])
    parts *= amplitude / np.abs(parts).max()
    return torch.from_numpy(parts.reshape(batch, len(sizes), *sizes))


def rotation(dims: int, angle: float, centre: tuple[float, ...], scale: float = 1.0) -> torch.Tensor:
    matrix = torch.eye(dims + 1, dtype=torch.float64)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1] = c, -s, s, c
    at = torch.tensor(centre, dtype=torch.float64)
    matrix[:dims, dims] = at - matrix[:dims, :dims] @ at
    return matrix


def of_matrix(matrix: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    """Return the displacement field of an affine map of voxel indices, (D+1, D+1)."""
    x = voxel_grid(torch.zeros(1, len(sizes), *sizes, dtype=matrix.dtype))
    return torch.einsum("de,be...->bd...", matrix[:-1, :-1], x) + matrix[:-1, -1].reshape(1, -1, *[1] * len(sizes)) - x


def inner(x: torch.Tensor, margin: int) -> torch.Tensor:
    return x[(..., *[slice(margin, n - margin) for n in x.shape[2:]])]


def far_95(field: torch.Tensor, margin: int = 6) -> float:
    """The distance in voxels that 95 of 100 inner voxels stay below."""
    return float(np.quantile(inner(field, margin).norm(dim=1).numpy(), 0.95))


# Integration


@pytest.mark.parametrize("sizes", [(24, 31), (19, 17, 16)], ids=str)
def test_integral_is_that_of_the_differential_equation(sizes: tuple[int, ...]) -> None:
    dims, velocity = len(sizes), smooth(sizes, 3.0)
    starts = np.random.default_rng(0).integers(6, np.array(sizes) - 6, (10, dims))

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        at = state.reshape(dims, -1)
        return np.concatenate([map_coordinates(v, at, order=1, mode="nearest") for v in velocity[0].numpy()])

    ends = solve_ivp(rate, (0, 1), starts.T.ravel().astype(float), rtol=1e-6, atol=1e-6).y[:, -1].reshape(dims, -1)
    field = integrate(velocity)[0].numpy()
    assert np.abs(starts.T + field[(slice(None), *starts.T)] - ends).max() < 0.02


def test_integration_is_that_of_voxelmorph_and_steps_zero_is_the_velocity() -> None:
    velocity = smooth((15, 12, 14), 2.0)
    velocity[:, :, [0, -1]] = velocity[:, :, :, [0, -1]] = velocity[..., [0, -1]] = 0  # theirs is zero outside
    assert torch.allclose(integrate(velocity, 5), integrate_vec(velocity, 5), atol=1e-12)
    assert torch.equal(integrate(velocity, 0), velocity)


def test_integration_in_single_precision() -> None:
    velocity = smooth((30, 30), 3.0)
    for steps, atol in [(7, 1e-4), (32, 0.05)]:
        field = integrate(velocity.float(), steps)
        assert field.dtype == torch.float32
        assert torch.allclose(field.double(), integrate(velocity, 7), atol=atol), steps


def test_steps_out_of_range() -> None:
    for steps in (-1, 33, 256):
        with pytest.raises(RegistrationError, match=f"from 0 to 32, got {steps}"):
            integrate(torch.zeros(1, 2, 4, 4), steps)


# Composition


def test_composition_of_affine_maps_is_the_product_of_their_matrices() -> None:
    sizes = (21, 24, 19)
    first, second = rotation(3, 0.2, (10, 12, 9)), rotation(3, -0.1, (8, 11, 10), 1.1)
    second[2, 3] = 1.5
    field = compose(of_matrix(first, sizes), of_matrix(second, sizes))
    expected = of_matrix(first @ second, sizes)
    assert torch.allclose(inner(field, 7), inner(expected, 7), atol=1e-10)


def test_fields_that_do_not_compose() -> None:
    with pytest.raises(RegistrationError, match="on one grid"):
        compose(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 5, 4))
    with pytest.raises(RegistrationError, match="displacement field is"):
        compose(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5))


# Inversion


@pytest.mark.parametrize(
    ("sizes", "amplitude", "seed"),
    [((47, 31), 3.0, 1), ((34, 33, 32), 4.0, 2), ((200, 181), 6.0, 0)],
    ids=str,
)
def test_forward_and_inverse_cancel(sizes: tuple[int, ...], amplitude: float, seed: int) -> None:
    for dtype in (torch.float64, torch.float32):
        field = smooth(sizes, amplitude, sigma=5.0, seed=seed, batch=2).to(dtype)
        inverse, residual = invert(field)
        assert inverse.dtype == dtype
        assert far_95(compose(field, inverse)) < 0.02 and far_95(compose(inverse, field)) < 0.1
        assert residual.maximum <= 0.0101 and residual.percentile_95 <= residual.maximum


@pytest.mark.parametrize(("dims", "scale"), [(2, 2.6), (3, 1.9), (3, 2.5), (2, 0.4), (3, 0.7)])
def test_inverse_of_strong_stretching_is_that_of_the_matrix(dims: int, scale: float) -> None:
    # The plain fixed-point iteration diverges from a scale of about 2 on.
    sizes = (24, 25, 23)[:dims]
    matrix = rotation(dims, 0.3, (11.0, 12.0, 11.5)[:dims], scale)
    inverse, residual = invert(of_matrix(matrix, sizes), tolerance=1e-4)
    expected = of_matrix(torch.linalg.inv(matrix), sizes)
    # Only where the inverse stays on the grid.
    landing = voxel_grid(expected) + expected
    ends = torch.tensor(sizes).reshape(1, dims, *[1] * dims) - 1
    on_grid = ((landing >= 0) & (landing <= ends)).all(1)
    assert on_grid.sum() > 50
    assert (inverse - expected).norm(dim=1)[on_grid].max() < 1e-3
    assert residual.maximum <= 1e-4


def test_inverse_is_that_of_itk() -> None:
    field = smooth((40, 44), 3.0, sigma=6.0)
    theirs = sitk.InvertDisplacementField(
        sitk.GetImageFromArray(field[0].permute(2, 1, 0).numpy(), isVector=True), 100, 1e-4, 1e-4
    )
    expected = torch.from_numpy(sitk.GetArrayFromImage(theirs)).permute(2, 1, 0)[None]
    assert far_95(invert(field, tolerance=1e-4)[0] - expected, 8) < 0.02


def test_residual_is_what_it_says() -> None:
    field = smooth((30, 25), 4.0, batch=2)
    inverse, residual = invert(field, iterations=3)
    at = (voxel_grid(inverse) + inverse).numpy()
    pairs = zip(field, at, strict=True)
    landing = [[map_coordinates(f[d].numpy(), a, order=1, mode="nearest") for d in range(2)] for f, a in pairs]
    miss = np.linalg.norm(inverse.numpy() + np.array(landing), axis=1).reshape(2, -1)
    assert residual.maximum == pytest.approx(miss.max())
    assert residual.percentile_95 == pytest.approx(np.quantile(miss, 0.95, axis=1, method="inverted_cdf").max())
    assert residual.percentile_95 < residual.maximum


def test_a_fold_shows_in_the_residual_and_spoils_nothing_else() -> None:
    folding, fine = smooth((200, 181), 8.0, sigma=5.0, seed=1), smooth((200, 181), 6.0, sigma=5.0)
    assert 0 < folded_share(folding) < 0.01 and folded_share(fine) == 0
    inverse, residual = invert(torch.cat([fine, folding]))
    assert residual.maximum > 0.5 and residual.percentile_95 <= 0.01
    assert far_95(compose(fine, inverse[:1])) < 0.02 and far_95(compose(folding, inverse[1:])) < 0.02
    assert torch.isfinite(inverse).all()


def test_inverse_of_rubbish() -> None:
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0, 1, 2] = float("nan")
    with pytest.raises(RegistrationError, match="NaN or infinite"):
        invert(field)


# Resizing


@pytest.mark.parametrize(
    ("sizes", "new"), [((12, 15), (24, 30)), ((24, 31), (12, 11)), ((8, 9, 10), (13, 9, 5)), ((6, 8, 7), (12, 16, 14))]
)
def test_resized_field_moves_the_same_points(sizes: tuple[int, ...], new: tuple[int, ...]) -> None:
    # One affine map of the field of view, of which both grids see their part. Voxel centres are at (i + 0.5)/n.
    dims = len(sizes)
    linear = 0.1 * np.random.default_rng(0).standard_normal((dims, dims))

    def field_on(grid: tuple[int, ...]) -> torch.Tensor:
        n = torch.tensor(grid, dtype=torch.float64).reshape(1, dims, *[1] * dims)
        place = (voxel_grid(torch.zeros(1, dims, *grid, dtype=torch.float64)) + 0.5) / n
        return torch.einsum("de,be...->bd...", torch.tensor(linear), place) * n

    resized = resize_field(field_on(sizes), list(new))
    margin = max(1, *[-(-b // a) for a, b in zip(sizes, new, strict=True)]) // 2 + 1
    assert torch.allclose(inner(resized, margin), inner(field_on(new), margin), atol=1e-10)


def test_same_grid_is_left_alone_and_sizes_are_checked() -> None:
    field = smooth((7, 5), 1.0)
    assert resize_field(field, [7, 5]) is field
    for sizes in ([7], [7, 5, 3], [7, 0]):
        with pytest.raises(RegistrationError, match="2 axes needs as many sizes"):
            resize_field(field, sizes)
    one = resize_field(smooth((5, 1, 4), 1.0), [1, 3, 8])
    assert one.shape == (1, 3, 1, 3, 8) and torch.isfinite(one).all()


# Jacobian determinant


@pytest.mark.parametrize("sizes", [(17, 14), (9, 12, 11), (2, 3, 2)], ids=str)
def test_determinant_is_that_of_numpy(sizes: tuple[int, ...]) -> None:
    field = 3 * torch.randn(2, len(sizes), *sizes, dtype=torch.float64)
    for dtype, atol in [(torch.float64, 1e-12), (torch.float32, 1e-4)]:
        ours = jacobian_determinant(field.to(dtype))
        assert ours.shape == (2, 1, *sizes) and ours.dtype == dtype
        for b in range(2):
            gradient = np.stack([np.stack(np.gradient(f)) for f in field[b].numpy()])  # (component, axis, *sizes)
            jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(len(sizes))
            assert np.allclose(ours[b, 0].numpy(), np.linalg.det(jacobian), atol=atol)


@pytest.mark.parametrize("sizes", [(6, 7), (5, 1), (4, 5, 6), (1, 5, 4), (1, 1, 1)], ids=str)
def test_determinant_of_affine_maps(sizes: tuple[int, ...]) -> None:
    dims = len(sizes)
    matrix = torch.eye(dims + 1, dtype=torch.float64)
    matrix[:dims] += 0.3 * torch.randn(dims, dims + 1, dtype=torch.float64)
    for axis, n in enumerate(sizes):
        if n == 1:  # no derivative along it
            matrix[:dims, axis] = torch.eye(dims, dtype=torch.float64)[axis]
    expected = torch.linalg.det(matrix[:dims, :dims])
    assert torch.allclose(jacobian_determinant(of_matrix(matrix, sizes)), expected)


def test_folded_share_counts_zero_as_folded() -> None:
    field = torch.zeros(3, 2, 10, 10)
    x = torch.arange(10.0).reshape(10, 1)
    field[1, 0] = -x  # all onto one line: determinant 0
    field[2, 0, 5:] = -2 * x[5:]
    expected = torch.stack([(jacobian_determinant(field)[b] <= 0).float().mean() for b in range(3)])
    assert torch.equal(folded_share(field), expected)
    assert folded_share(field)[0] == 0 and folded_share(field)[1] == 1 and 0.5 <= folded_share(field)[2] <= 0.6


# All of them

DIFFERENTIABLE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "integrate": lambda f: integrate(f, 3),
    "compose": lambda f: compose(f, f.flip(1) / 2),
    "up": lambda f: resize_field(f, [n + 2 for n in f.shape[2:]]),
    "down": lambda f: resize_field(f, [2] * (f.dim() - 2)),
    "jacobian_determinant": jacobian_determinant,
}
ALL = {**DIFFERENTIABLE, "invert": lambda f: invert(f, iterations=5, tolerance=0)[0]}


@pytest.mark.parametrize("sizes", [(5, 4), (3, 4, 3)], ids=str)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name: str, sizes: tuple[int, ...]) -> None:
    field = (0.7 * torch.randn(2, len(sizes), *sizes, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(DIFFERENTIABLE[name], (field,))


@pytest.mark.parametrize("sizes", [(4, 3), (2, 3, 2), (5, 1)], ids=str)
def test_gradient_of_the_inverse(sizes: tuple[int, ...]) -> None:
    # One field: test_batch_is_the_loop sees to several.
    field = (0.2 * torch.randn(1, len(sizes), *sizes, dtype=torch.float64)).requires_grad_()
    inverse, residual = invert(field, tolerance=1e-12)
    assert residual.maximum < 1e-9
    assert torch.equal(inverse, invert(field.detach(), tolerance=1e-12)[0])
    assert torch.autograd.gradcheck(lambda f: invert(f, tolerance=1e-12)[0], (field,), atol=1e-4)


def test_gradient_of_the_inverse_is_finite_where_the_field_folds() -> None:
    field = (4 * torch.randn(1, 2, 9, 8)).requires_grad_()
    assert folded_share(field.detach()) > 0.1
    (gradient,) = torch.autograd.grad(invert(field)[0].square().sum(), field)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


@pytest.mark.parametrize("name", ALL)
def test_batch_is_the_loop_on_every_device(name: str) -> None:
    function = ALL[name]
    field = smooth((9, 8, 7), 1.5, batch=3).float()
    expected = function(field)
    assert torch.allclose(expected, torch.cat([function(field[b : b + 1]) for b in range(3)]), atol=1e-6)
    if torch.cuda.is_available():
        assert torch.allclose(function(field.cuda()).cpu(), expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ALL)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    field = smooth((12, 9), 1.5, batch=2)
    result = ALL[name](field.to(dtype))
    assert result.dtype == dtype
    assert torch.allclose(result.double(), ALL[name](field), atol=0.05)
