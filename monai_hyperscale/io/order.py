"""The order of a grid's axes, in space and in memory: the same voxels of the same place, stored in another way."""

from __future__ import annotations

from itertools import product
from typing import Literal

import nibabel as nib
import numpy as np
import torch

from monai_hyperscale.io.grids import Grid

__all__ = ["in_ras", "laid_out", "reordered"]

_BLOCK = 64


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

    As ``np.asarray(array, order=order)``, but ten times as quick for volumes, since block by block: otherwise every
    voxel lies on a page of its own, in the one order or in the other.
    """
    if array.flags.c_contiguous if order == "C" else array.flags.f_contiguous:
        return array
    result = np.empty(array.shape, array.dtype, order)
    for corner in product(*(range(0, n, _BLOCK) for n in array.shape)):
        block = tuple(slice(start, start + _BLOCK) for start in corner)
        result[block] = array[block]
    return result
