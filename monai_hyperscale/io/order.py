"""The order and direction of a grid's axes: the same voxels of the same place, stored in another way."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import torch

from monai_hyperscale.io.grids import Grid

__all__ = ["in_ras", "reordered"]


def in_ras(grid: Grid) -> Grid:
    """Return the grid of the same voxels with its axes in RAS order, as near as they come.

    Example:
        >>> print(in_ras(Grid((9, 8, 7), np.diag([-1.0, 1.0, 1.0, 1.0]))))
        9 x 8 x 7 voxels of 1 x 1 x 1 mm from (-8, 0, 0)
    """
    orientation = nib.orientations.io_orientation(grid.matrix)
    affine, kept = grid.affine.copy(), [*range(grid.dims), 3]
    affine[np.ix_(kept, kept)] = grid.matrix @ nib.orientations.inv_ornt_aff(orientation, grid.sizes)
    return Grid(tuple(int(n) for n in np.asarray(grid.sizes)[np.argsort(orientation[:, 0])]), affine)


def reordered(voxels: torch.Tensor, old: Grid, new: Grid, vectors: bool = False) -> torch.Tensor:
    """Return voxels of one grid in the order of another one, that of the same voxels.

    Args:
        voxels: (C, *old sizes).
        old: their grid.
        new: the same voxels in another order, such as :func:`in_ras` gives it.
        vectors: the channels are displacements along the axes in voxels, as in a field: they turn too.

    Returns:
        (C, *new sizes), contiguous; the voxels themselves where the order is the same.

    Example:
        >>> grid = Grid((3, 1), np.diag([-1.0, 1.0, 1.0, 1.0]))
        >>> reordered(torch.tensor([[[1.0], [2.0], [3.0]]]), grid, in_ras(grid)).flatten()
        tensor([3., 2., 1.])
    """
    order = nib.orientations.io_orientation(np.linalg.inv(new.matrix) @ old.matrix)
    axes, flipped = np.argsort(order[:, 0]), np.flatnonzero(order[:, 1] < 0)
    turned = voxels.flip([1 + int(axis) for axis in flipped]) if len(flipped) else voxels
    turned = turned.permute(0, *(1 + int(axis) for axis in axes))
    if vectors and (len(flipped) or (np.diff(axes) < 0).any()):
        signs = torch.as_tensor(order[axes, 1]).to(turned).reshape(-1, *[1] * old.dims)
        turned = turned[torch.as_tensor(axes, device=turned.device)] * signs
    return turned.contiguous()
