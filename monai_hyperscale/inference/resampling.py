"""Images and displacement fields between grids: by affines, by fields, or both, with one interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.io.grids import RAS_LPS, Grid, grid_of, in_ras, overlap, reduced, reordered
from monai_hyperscale.io.images import image_source
from monai_hyperscale.registration.warping import warp_points

# Voxels of a result at a time. Each takes 150 bytes or so while it is computed.
_SLAB = 2**20

# What counts as one place, in voxels: the same point by way of two headers, or of a field in single precision.
_SAME_PLACE = 1e-3


def as_placed(image: MetaTensor, dims: int) -> MetaTensor:
    """Return an image with 2 or 3 axes, 2D image files placed as ITK does; a RegistrationError if it is otherwise."""
    voxels = image.as_tensor()
    if dims == 2 and voxels.dim() == 4 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.dim() - 1 != dims:
        hint = "take one slice of it" if dims == 2 else "name a volume"
        raise RegistrationError(f"{_name(image)} is {voxels.dim() - 1}D, but a {dims}D image is needed; {hint}.")
    placed = MetaTensor(voxels, affine=image.affine, meta={"filename_or_obj": _name(image)})
    # The image's own affine: it may have been cropped or turned since it was read.
    affine = grid_of(placed).affine
    placed.affine = torch.tensor(RAS_LPS @ affine if image_source(image).is_picture else affine)
    return placed


def check_together(label: MetaTensor, image: MetaTensor) -> None:
    """Raise a RegistrationError unless a label map has an image's axes and lies in its place, on whatever grid."""
    dims = 2 if image.dim() == 4 and image.shape[-1] == 1 and label.dim() == 3 else image.dim() - 1
    grids = [grid_of(as_placed(each, dims)) for each in (label, image)]
    if overlap(grids[0], grids[1], np.eye(4)) == 0:
        raise RegistrationError(
            f"the label map {_name(label)} has no point in common with {_name(image)}; name the one of this image."
        )


def _name(image: MetaTensor) -> str:
    return str(image.meta.get("filename_or_obj") or "the image")


def resample(
    image: MetaTensor,
    grid: Grid,
    matrix: Optional[np.ndarray] = None,
    field: Optional[torch.Tensor] = None,
    nearest: bool = False,
    outside: float = 0.0,
) -> MetaTensor:
    """Resample an image (C, *sizes) onto another grid, in its type by nearest neighbour, else floating.

    Points on the very edge of the image count as inside it, and of two voxels that are equally near the one further
    right, to the front or up is the nearest: neither hangs on the order of a file's axes or the rounding of headers.

    Args:
        image: with its affine in RAS.
        grid: of the result.
        matrix: (4, 4), from millimetres of ``grid`` to those of the image, RAS; ``None``: they are the same.
        field: (D, *grid sizes), voxels of ``grid``: takes its points to those of the image, in place of a matrix.
        nearest: for label maps; else linear.
        outside: value of what lies outside the image.

    Example:
        >>> image = MetaTensor(torch.arange(4.0).reshape(1, 4, 1), affine=torch.eye(4))
        >>> finer = Grid((7, 1), np.diag([0.5, 1.0, 1.0, 1.0]))
        >>> resample(image, finer)[0, :, 0].as_tensor()
        tensor([0.0000, 0.5000, 1.0000, 1.5000, 2.0000, 2.5000, 3.0000])
    """
    # Not by SimpleITK: it decides about points on the edge by the last bit, and one edge is in, the other one out.
    own = grid_of(image)
    source, target = in_ras(own), in_ras(grid)
    voxels = reordered(image.as_tensor().cpu(), own, source)
    if not nearest and not voxels.is_floating_point():
        voxels = voxels.float()
    between = np.eye(grid.dims + 1) if matrix is None or field is not None else reduced(matrix, grid.dims)
    there = np.linalg.inv(source.matrix) @ between @ target.matrix
    field = None if field is None else reordered(torch.as_tensor(field).cpu(), grid, target, vectors=True)
    result = torch.empty(len(voxels), *target.sizes, dtype=voxels.dtype)
    planes = max(1, _SLAB // math.prod(target.sizes[1:]))
    for first in range(0, target.sizes[0], planes):
        part = slice(first, first + planes)
        ticks = [torch.arange(n, dtype=torch.float64) for n in target.sizes]
        points = torch.stack(torch.meshgrid(ticks[0][part], *ticks[1:], indexing="ij"), dim=-1)
        if field is not None:
            points = points + field[:, part].movedim(0, -1)
        result[:, part] = _values_at(voxels, _applied(there, points), nearest, outside)
    return MetaTensor(reordered(result, target, grid), affine=torch.tensor(grid.affine))


def _values_at(voxels: torch.Tensor, points: torch.Tensor, nearest: bool, outside: float) -> torch.Tensor:
    """Return the values (C, *sizes) of voxels at points (*sizes, D) in voxels."""
    ends = torch.tensor(voxels.shape[1:], dtype=torch.float64)
    inside = ((points > -0.5 - _SAME_PLACE) & (points < ends - 0.5 + _SAME_PLACE)).all(dim=-1)
    found = voxels.new_full((len(voxels), *inside.shape), outside)
    if not bool(inside.any()):
        return found
    clamped = torch.minimum(points.clamp(min=0), ends - 1)
    if nearest:
        index = torch.minimum((clamped + 0.5 + _SAME_PLACE).floor(), ends - 1).long().unbind(-1)
        values = torch.stack([channel[index] for channel in voxels])
    else:
        # Only what is looked at, since all is computed in double precision.
        low = clamped.flatten(0, -2).amin(0).floor().long()
        high = clamped.flatten(0, -2).amax(0).ceil().long() + 1
        part = voxels
        for axis, (start, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            part = part.narrow(1 + axis, start, end - start)
        where = (2 * (clamped - low) + 1) / (high - low) - 1
        double = part[None].double()
        values = F.grid_sample(double, where.flip(-1)[None], "bilinear", "border", align_corners=False)[0]
    return torch.where(inside, values.to(voxels.dtype), found)


def working_grid(
    fixed: Grid,
    spacing: Optional[Sequence[float]] = None,
    sizes: Optional[Sequence[int]] = None,
    max_voxels: int = 2**24,
) -> Grid:
    """Return the grid on which a network sees a pair: the ``fixed`` image's in RAS order, as in training.

    Args:
        fixed: grid of the fixed image.
        spacing: voxel size in mm along the axes of the result; ``None`` for the image's own.
        sizes: least voxels per axis; smaller grids are padded on both sides.
        max_voxels: larger grids get larger voxels.

    Example:
        >>> print(working_grid(Grid((9, 8, 7), np.diag([-1.0, 1.0, 1.0, 1.0])), sizes=(12, 8, 8)))
        12 x 8 x 8 voxels of 1 x 1 x 1 mm from (-9, 0, 0)
    """
    grid = in_ras(fixed) if fixed.dims == 3 else fixed
    shape = np.asarray(grid.sizes)
    factors = np.ones(grid.dims) if spacing is None else np.asarray(spacing[: grid.dims]) / grid.spacing
    voxels = float(np.prod(shape / factors))
    if voxels > max_voxels:
        factors = factors * (voxels / max_voxels) ** (1 / grid.dims)
    wanted = np.array([max(1, math.floor(n / factor + 1e-6)) for n, factor in zip(shape, factors, strict=True)])
    if not np.allclose(factors, 1, rtol=0, atol=1e-4):
        # Voxels are stretched a little, so that a whole number of them fills the field of view; the outer borders of
        # the first voxels meet.
        ratio = shape / wanted
        affine = _shifted(grid.affine, (ratio - 1) / 2)
        affine[:3, : grid.dims] *= ratio
        grid = Grid(tuple(int(n) for n in wanted), affine)
    if sizes is None:
        return grid
    before = np.maximum(np.asarray(sizes[: grid.dims]) - grid.sizes, 0)
    padded = tuple(int(n) for n in np.asarray(grid.sizes) + before)
    return Grid(padded, _shifted(grid.affine, -(before // 2)))


def _shifted(affine: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    moved = affine.copy()
    moved[:3, 3] += affine[:3, : len(voxels)] @ voxels
    return moved


def move_field(
    field: torch.Tensor,
    grid: Grid,
    target: Grid,
    before: Optional[np.ndarray] = None,
    after: Optional[np.ndarray] = None,
) -> torch.Tensor:
    """Carry a displacement field to another grid, with affine maps, in mm and RAS, before and after it.

    Args:
        field: (D, *sizes), voxels of ``grid``. Outside it the displacement of its border holds.
        grid: of the field.
        target: grid of the result.
        before: (4, 4), from points of ``target`` to those of ``grid``; ``None`` for the same ones.
        after: (4, 4), from where the field leads to where the result shall lead.

    Returns:
        float32 (D, *target sizes): at a point x, ``after(before(x) + field(before(x))) - x``, in voxels of ``target``.

    Example:
        >>> coarse, fine = Grid((3, 3), np.diag([2.0, 2.0, 1.0, 1.0])), Grid((5, 5), np.eye(4))
        >>> move_field(torch.ones(2, 3, 3), coarse, fine).unique()
        tensor([2.])
    """
    dims = grid.dims
    kept = np.ix_([*range(dims), 3], [*range(dims), 3])
    there = np.linalg.inv(grid.matrix) @ (np.eye(4) if before is None else before)[kept] @ target.matrix
    back = np.linalg.inv(target.matrix) @ (np.eye(4) if after is None else after)[kept] @ grid.matrix
    ticks = [torch.arange(n, dtype=torch.float64) for n in target.sizes]
    points = torch.stack(torch.meshgrid(*ticks, indexing="ij"), dim=-1).reshape(-1, dims)
    indices = _applied(there, points).to(field)
    displacements = (warp_points(indices[None], field[None])[0] - indices).double()
    # The affine part apart from the rest, so that the identity leaves nothing of its rounding.
    change = back @ there - np.eye(dims + 1)
    change[np.abs(change) < 1e-11] = 0
    moved = _applied(change, points) + displacements @ torch.as_tensor(back[:-1, :-1]).T
    return moved.T.reshape(dims, *target.sizes).float()


def _applied(matrix: np.ndarray, points: torch.Tensor) -> torch.Tensor:
    return points @ torch.as_tensor(matrix[:-1, :-1]).T + torch.as_tensor(matrix[:-1, -1])
