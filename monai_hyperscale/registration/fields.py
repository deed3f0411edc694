"""Displacement fields as functions: integrate, compose, invert, resize, Jacobian determinant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.registration.warping import check_field, pad_to_powers_of_two, sample, voxel_grid, warp

# Iterations after which most voxels are done, and Newton's method, seven times as dear, takes over.
_CHEAP_ITERATIONS = 8

# Voxels from which on the inverse of the field at half the size is worth finding first.
_COARSE_FROM = 2**15

# A voxel that gains nothing by so small a part of a step is given up.
_SMALLEST_STEP = 1 / 64


class Residual(NamedTuple):
    """How far from itself a voxel lands by the inverse and then the field, in voxels; the worst of a batch.

    95 of 100 voxels come back to within ``percentile_95``, all to within ``maximum``. Where a field folds there are
    several ways back, or none that is found: see :func:`folded_share`.
    """

    percentile_95: float
    maximum: float

    @classmethod
    def of(cls, field: torch.Tensor, inverse: torch.Tensor) -> Residual:
        """Return the residual of an inverse, whichever way it was found; both (B, D, *sizes), voxels."""
        return cls._worst(compose(field, inverse).norm(dim=1).flatten(1))

    @classmethod
    def _worst(cls, distances: torch.Tensor) -> Residual:
        # torch.quantile refuses what is larger than 16 million voxels.
        ranked = distances.kthvalue(max(1, math.ceil(0.95 * distances.shape[1])), dim=1).values
        return cls(float(ranked.max()), float(distances.max()))


def integrate(velocity: torch.Tensor, steps: int = 7) -> torch.Tensor:
    """Integrate a stationary velocity field over unit time by scaling and squaring (Arsigny et al. 2006).

    ``integrate(-velocity)`` is the inverse. Half precision is computed in float32. TorchScript compiles it.

    Args:
        velocity: (B, D, *sizes), voxels per unit of time; what comes out is (B, D, *sizes) in voxels.
        steps: squarings, 0 to 32, or it is a :class:`RegistrationError`; 0 takes the velocity for the displacement.

    Example:
        >>> integrate(torch.ones(1, 2, 4, 4))[0, :, 1, 1]
        tensor([1., 1.])
    """
    check_field(velocity)
    if steps < 0 or steps > 32:  # halving more often gains nothing, and ends in a field of zeros
        raise RegistrationError(f"steps must be a whole number from 0 to 32, got {steps}; 7 is usual.")
    field = velocity if velocity.dtype == torch.float64 else velocity.float()
    field = field / float(2**steps)
    # voxelmorph.nn.functional.integrate_vec is this loop; TorchScript cannot compile it.
    for _ in range(steps):
        field = field + warp(field, field)
    return field.to(velocity.dtype)


def compose(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the one field that does what warping by ``first`` and then by ``second`` does; (B, D, *sizes), voxels.

    ``warp(warp(image, first), second)`` is ``warp(image, compose(first, second))``, but for one interpolation less.

    Example:
        >>> shift = torch.ones(1, 3, 4, 4, 4)
        >>> compose(shift, 2 * shift).unique()
        tensor([3.])
    """
    check_field(first)
    return second + warp(first, second)


def invert(field: torch.Tensor, iterations: int = 50, tolerance: float = 0.01) -> tuple[torch.Tensor, Residual]:
    """Invert a displacement field numerically, and say how well it went.

    Every voxel solves ``inverse(x) + field(x + inverse(x)) = 0``: by the fixed-point iteration of Chen et al. 2008, and
    those for which it is slow or diverges, as where the field stretches strongly, by Newton's method. For a velocity
    field ``integrate(-velocity)`` is quicker. Outside the grid the displacement of its border holds. The gradient is
    that of the equation, not of its solution's steps; a voxel where the field folds has none.

    Takes and returns (B, D, *sizes), voxels, after at most so many ``iterations``; a voxel that is as near as
    ``tolerance``, in voxels, is done. Another shape, or values that are not finite, are a :class:`RegistrationError`.

    Example:
        >>> invert(torch.full((1, 2, 8, 8), 1.5))[0].unique()
        tensor([-1.5000])
    """
    check_field(field)
    if not bool(torch.isfinite(field).all()):
        raise RegistrationError("a field that holds NaN or infinite values has no inverse; check where it comes from.")
    exact = field if field.dtype == torch.float64 else field.float()
    differentiable = exact.requires_grad and torch.is_grad_enabled()
    inverses, distances = [], []
    for one in exact.split(1):
        with torch.no_grad():
            inverse, left = _invert_one(one, iterations, tolerance)
        inverses.append(_with_gradient(inverse, one) if differentiable else inverse)
        distances.append(left)
    return torch.cat(inverses).to(field.dtype), Residual._worst(torch.stack(distances))


#: From points (D, N) in voxels to the displacement there, (D, N).
_Sampler = Callable[[torch.Tensor], torch.Tensor]


def _sampler(field: torch.Tensor) -> _Sampler:
    dims, padded = field.shape[1], pad_to_powers_of_two(field)

    def at(points: torch.Tensor) -> torch.Tensor:
        parts = [part.reshape([1, -1] + [1] * (dims - 1)) for part in points]
        return sample(padded, parts).reshape(dims, -1)

    return at


def _jacobian(at: _Sampler, points: torch.Tensor, step: float) -> torch.Tensor:
    """Return the derivative of ``x + at(x)`` at points (D, N) by central differences, (N, D, D)."""
    columns = []
    for axis in range(len(points)):
        nudge = torch.zeros_like(points)
        nudge[axis] = step
        columns.append((at(points + nudge) - at(points - nudge) + 2 * nudge) / (2 * step))
    return torch.stack(columns, dim=1).permute(2, 0, 1)


def _with_gradient(inverse: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Return the inverse with the gradient that ``inverse(x) + field(x + inverse(x)) = 0`` gives it."""
    at, flat = _sampler(field), inverse.flatten(2)[0]
    points = voxel_grid(field).flatten(2)[0] + flat
    miss = flat + at(points)
    with torch.no_grad():
        # Between voxels the field is linear along each axis, so that differences are its derivative.
        jacobian = _jacobian(at, points, 1e-6 if field.dtype == torch.float64 else 1e-3)
        folded = (torch.linalg.det(jacobian) <= 0)[:, None]
        jacobian[folded[:, 0]] = torch.eye(len(points), dtype=field.dtype, device=field.device)
    move = torch.linalg.solve(jacobian, miss.T).masked_fill(folded, 0.0).T.reshape(inverse.shape)
    return inverse - (move - move.detach())


def _invert_one(field: torch.Tensor, iterations: int, tolerance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inverse (1, D, *sizes) of a field of that shape, and the distance (N,) that is left at its voxels."""
    dims, at = field.shape[1], _sampler(field)
    goal = voxel_grid(field).reshape(dims, -1)
    if goal.shape[1] > _COARSE_FROM:
        coarse = resize_field(field, [(n + 1) // 2 for n in field.shape[2:]])
        start, _ = _invert_one(coarse, iterations, tolerance)
        result = resize_field(start, list(field.shape[2:])).reshape(dims, -1)
    else:
        result = -field.reshape(dims, -1)
    miss = result + at(goal + result)  # where the voxel lands, from the voxel
    left = miss.norm(dim=0)
    step = torch.ones_like(left)
    for iteration in range(iterations):
        # Most voxels are done soon, and cost nothing from then on.
        active = ((left > tolerance) & (step >= _SMALLEST_STEP)).nonzero().squeeze(1)
        if len(active) == 0:
            break
        start, error = result[:, active], miss[:, active]
        move = -error if iteration < _CHEAP_ITERATIONS else _newton_move(at, goal[:, active] + start, error)
        trial = start + step[active] * move
        trial_miss = trial + at(goal[:, active] + trial)
        trial_left = trial_miss.norm(dim=0)
        better = trial_left < left[active]
        kept = active[better]
        result[:, kept], miss[:, kept], left[kept] = trial[:, better], trial_miss[:, better], trial_left[better]
        step[active] = torch.where(better, 1.0, step[active] / 2)
    return result.reshape(field.shape), left


def _newton_move(at: _Sampler, points: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    move = torch.linalg.solve_ex(_jacobian(at, points, 0.5), -error.T)[0].T
    return torch.where(torch.isfinite(move), move, -error)


def resize_field(field: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Resample a field to another grid over the same space, and turn its vectors into voxels of that grid.

    Both grids fill the same field of view, as with ``align_corners=False``: an axis of n₁ voxels becomes n₂ voxels of
    n₁/n₂ times the size, and displacements along it are multiplied by n₂/n₁. TorchScript compiles it. Takes
    displacements or velocities (B, D, *sizes), voxels, and at least one voxel per axis, or it is a
    :class:`RegistrationError`.

    Example:
        >>> resize_field(torch.ones(1, 2, 4, 5), [8, 5])[0, :, 0, 0]
        tensor([2., 1.])
    """
    check_field(field)
    new = [int(n) for n in sizes]
    old = list(field.shape[2:])
    if len(new) != len(old) or min(new) < 1:
        raise RegistrationError(f"a grid of {len(old)} axes needs as many sizes of at least 1, got {new}.")
    if new == old:
        return field
    resized = F.interpolate(field, size=new, mode="bilinear" if len(old) == 2 else "trilinear", align_corners=False)
    ratios = [float(n) / float(old[axis]) for axis, n in enumerate(new)]
    factors = torch.tensor(ratios, dtype=field.dtype, device=field.device)
    return resized * factors.reshape([1, -1] + [1] * len(old))


def jacobian_determinant(field: torch.Tensor) -> torch.Tensor:
    """Return the determinant of the Jacobian of ``x + field(x)``: the local change of volume, ≤ 0 where it folds.

    Derivatives are central differences, one-sided at the border (``torch.gradient``, as NumPy's, which VoxelMorph
    takes); along an axis of one voxel there is none. Takes (B, D, *sizes), voxels, and returns (B, 1, *sizes).

    Example:
        >>> jacobian_determinant(voxel_grid(torch.zeros(1, 2, 4, 5))).unique()  # twice as far along both axes
        tensor([4.])
    """
    check_field(field)
    exact = field if field.dtype == torch.float64 else field.float()
    columns = []  # of the Jacobian: derivatives of all components along one axis
    for axis, n in enumerate(exact.shape[2:]):
        column = torch.gradient(exact, dim=axis + 2)[0] if n > 1 else torch.zeros_like(exact)
        unit = torch.zeros([1, field.shape[1]] + [1] * (field.dim() - 2), dtype=exact.dtype, device=exact.device)
        unit[:, axis] = 1
        columns.append(column + unit)
    # Written out: torch.linalg.det takes 100 times as long for small matrices.
    a, b = columns[0].split(1, dim=1), columns[1].split(1, dim=1)
    if len(columns) == 2:
        return (a[0] * b[1] - a[1] * b[0]).to(field.dtype)
    c = columns[2].split(1, dim=1)
    determinant = a[0] * (b[1] * c[2] - b[2] * c[1])
    determinant = determinant + a[1] * (b[2] * c[0] - b[0] * c[2])
    return (determinant + a[2] * (b[0] * c[1] - b[1] * c[0])).to(field.dtype)


def folded_share(field: torch.Tensor) -> torch.Tensor:
    """Return the share (B,) of voxels at which a field (B, D, *sizes) folds: Jacobian determinant of at most zero.

    Example:
        >>> field = torch.zeros(2, 2, 4, 4)
        >>> field[1, 0, 2] = -3  # one row of voxels lands before the one in front of it
        >>> folded_share(field)
        tensor([0.0000, 0.2500])
    """
    return (jacobian_determinant(field) <= 0).flatten(1).float().mean(dim=1)
