"""Grids of voxels in the patient's space, and images on them as SimpleITK has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, Union

import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from monai_hyperscale.errors import RegistrationError

#: From RAS, which everything in memory keeps to, to LPS, which is ITK's; its own inverse.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Of a 2D grid's axes out of the plane of x and y, as a sine: rounding in headers.
_MOST_TILT = 2e-4

# Voxels per axis that are copied at once.
_BLOCK = 64

# How many points per axis tell whether two grids overlap.
_PROBES = 33


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Args:
        sizes: voxels per axis, two or three.
        affine: (4, 4) float64, from voxel indices to millimetres, RAS. Of a 2D grid x and y count; it must lie in their
            plane, else a :class:`RegistrationError`.

    Example:
        >>> Grid((4, 3), np.diag([2.0, 2.0, 1.0, 1.0])).matrix @ (1, 1, 1)
        array([2., 2., 1.])
    """

    sizes: tuple[int, ...]
    affine: np.ndarray

    def __post_init__(self) -> None:
        axes = self.affine[:3, : self.dims]
        if self.dims == 2 and np.abs(axes[2] / np.linalg.norm(axes, axis=0)).max() > _MOST_TILT:
            raise RegistrationError(
                "a 2D grid must lie in the plane of x and y (an axial slice), but its affine turns it out of this "
                "plane; take a volume of one slice, or a 2D image file such as PNG."
            )

    @property
    def dims(self) -> int:
        """Spatial axes: 2 or 3."""
        return len(self.sizes)

    @property
    def matrix(self) -> np.ndarray:
        """From voxel indices to millimetres, (D + 1, D + 1), RAS."""
        return reduced(self.affine, self.dims)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size along every axis in mm."""
        return tuple(float(length) for length in np.linalg.norm(self.matrix[:-1, :-1], axis=0))

    @property
    def centre(self) -> np.ndarray:
        """The grid's middle in mm, (D,), RAS."""
        middle = (np.asarray(self.sizes) - 1) / 2
        return (self.matrix @ np.append(middle, 1))[:-1]

    def same_as(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Return whether the other grid has the same voxels, to ``tolerance`` of a voxel's side at its corners."""
        return self.sizes == other.sizes and apart(self.matrix, other.matrix, self.sizes) <= tolerance

    def __str__(self) -> str:
        spacing = " x ".join(f"{length:g}" for length in self.spacing)
        origin = ", ".join(f"{value:g}" for value in self.matrix[:-1, -1])
        return f"{' x '.join(map(str, self.sizes))} voxels of {spacing} mm from ({origin})"


def affine_of(image: MetaTensor) -> np.ndarray:
    """Return the affine of an image (C, *sizes) as (4, 4) float64; one without is taken to have voxels of 1 mm."""
    own, affine = np.asarray(image.affine, dtype=np.float64), np.eye(4)
    r = min(len(own) - 1, 3)
    affine[:r, :r], affine[:r, 3] = own[:r, :r], own[:r, -1]
    return affine


def grid_of(image: MetaTensor) -> Grid:
    """Return the grid of an image (C, *sizes), see :func:`affine_of`."""
    return Grid(tuple(image.shape[1:]), affine_of(image))


def reduced(matrix: np.ndarray, dims: int) -> np.ndarray:
    """Return the part of a (4, 4) matrix that acts on ``dims`` axes, (dims + 1, dims + 1)."""
    kept = [*range(dims), 3]
    return matrix[np.ix_(kept, kept)]


def apart(first: np.ndarray, second: np.ndarray, sizes: Sequence[int]) -> float:
    """Return how far the corners of two grids, affines (D + 1, D + 1), are apart in the smallest side of a voxel."""
    dims = len(first) - 1
    corners = np.array([*product(*((0, n - 1) for n in [*sizes, 1, 1, 1][:dims]))], dtype=float)
    away = corners @ (first - second)[:dims, :dims].T + (first - second)[:dims, dims]
    side = min(np.linalg.norm(affine[:dims, :dims], axis=0).min() for affine in (first, second))
    return float(np.abs(away).max() / side) if side > 0 else float("inf")


def is_invertible(affine: np.ndarray, spatial_dims: int = 3) -> bool:
    """Return whether the axes of an affine (4, 4) span the space of so many dimensions."""
    axes = affine[:3, :spatial_dims]
    lengths = np.linalg.norm(axes, axis=0)
    # Of unit columns, so that a small voxel does not count as a flat one.
    return bool(
        np.isfinite(affine).all() and lengths.min() > 0 and np.linalg.matrix_rank(axes / lengths, 1e-4) == spatial_dims
    )


def itk_image(voxels: Union[np.ndarray, torch.Tensor], grid: Grid) -> sitk.Image:
    """Return voxels, *sizes or vectors (D, *sizes) taken as they are, as SimpleITK has them, in LPS."""
    array = np.asarray(voxels)
    vectors = array.ndim > grid.dims
    axes = tuple(reversed(range(vectors, array.ndim)))
    image = sitk.GetImageFromArray(array.transpose(axes + (0,) * vectors), isVector=vectors)
    matrix = reduced(RAS_LPS @ grid.affine, grid.dims)
    image.SetOrigin(matrix[:-1, -1].tolist())
    image.SetSpacing(grid.spacing)
    image.SetDirection((matrix[:-1, :-1] / grid.spacing).ravel().tolist())
    return image


def ras_matrix(transform: sitk.AffineTransform) -> np.ndarray:
    """Return the (4, 4) matrix in RAS of a transform of SimpleITK, whatever its centre."""
    dims = transform.GetDimension()
    lps = np.eye(4)
    lps[:dims, :dims] = np.asarray(transform.GetMatrix()).reshape(dims, dims)
    lps[:dims, 3] = transform.TransformPoint([0.0] * dims)
    return RAS_LPS @ lps @ RAS_LPS


def overlap(moving: Grid, fixed: Grid, matrix: np.ndarray) -> float:
    """Return which share of the smaller field of view lies in the other one, at points a voxel or more apart.

    ``matrix`` (4, 4) leads from millimetres of the fixed image to those of the moving one.
    """
    to_moving = np.linalg.inv(moving.matrix) @ reduced(matrix, fixed.dims) @ fixed.matrix
    there = _inside(fixed.sizes, to_moving, moving.sizes)
    return max(there, _inside(moving.sizes, np.linalg.inv(to_moving), fixed.sizes))


def _inside(sizes: tuple[int, ...], matrix: np.ndarray, others: tuple[int, ...]) -> float:
    probes = [np.linspace(0, n - 1, min(n, _PROBES)) for n in sizes]
    points = np.stack(np.meshgrid(*probes, indexing="ij")).reshape(len(sizes), -1)
    moved = matrix[:-1, :-1] @ points + matrix[:-1, -1:]
    ends = np.asarray(others)[:, None] - 0.5
    return float(((moved >= -0.5 - 1e-6) & (moved <= ends + 1e-6)).all(axis=0).mean())


def in_ras(grid: Grid) -> Grid:
    """Return the grid of the same voxels with its axes in RAS order, as near as they come."""
    orientation = nib.orientations.io_orientation(grid.matrix)
    affine, kept = grid.affine.copy(), [*range(grid.dims), 3]
    affine[np.ix_(kept, kept)] = grid.matrix @ nib.orientations.inv_ornt_aff(orientation, grid.sizes)
    return Grid(tuple(int(n) for n in np.asarray(grid.sizes)[np.argsort(orientation[:, 0])]), affine)


def reordered(voxels: torch.Tensor, old: Grid, new: Grid, vectors: bool = False) -> torch.Tensor:
    """Return voxels (C, *old sizes) in the order of another grid of the same voxels, contiguous.

    ``vectors`` are displacements along the axes in voxels, as in a field: they turn too.
    """
    order = nib.orientations.io_orientation(np.linalg.inv(new.matrix) @ old.matrix)
    axes, flipped = np.argsort(order[:, 0]), np.flatnonzero(order[:, 1] < 0)
    turned = voxels.flip([1 + int(axis) for axis in flipped]) if len(flipped) else voxels
    turned = turned.permute(0, *(1 + int(axis) for axis in axes))
    if vectors and (len(flipped) or (np.diff(axes) < 0).any()):
        signs = torch.as_tensor(order[axes, 1]).to(turned).reshape(-1, *[1] * old.dims)
        turned = turned[torch.as_tensor(axes, device=turned.device)] * signs
    return turned.contiguous()


def laid_out(array: np.ndarray, order: Literal["C", "F"] = "C") -> np.ndarray:
    """Return the array with its last axis (C) or its first (F) contiguous; itself if it is so already.

    Block by block, so ten times as quick for volumes as ``np.asarray``, which meets another page at every voxel.
    """
    if array.flags.c_contiguous if order == "C" else array.flags.f_contiguous:
        return array
    result = np.empty(array.shape, array.dtype, order)
    for corner in product(*(range(0, n, _BLOCK) for n in array.shape)):
        block = tuple(slice(start, start + _BLOCK) for start in corner)
        result[block] = array[block]
    return result
