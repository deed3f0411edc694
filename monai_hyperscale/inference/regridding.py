"""Volumes to the network's voxel size and label maps back, in slabs: the coordinates of all voxels take gigabytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL
from monai.networks.layers import AffineTransform

from monai_hyperscale.io.grids import laid_out

# Voxels of a result at a time. Each takes 50 bytes or so while it is computed.
_SLAB = 2**22

# What counts as a voxel's border, in voxels: affines of the same place differ by the rounding of headers.
_SAME_PLACE, _DECIMALS = 1e-3, 3


def at_spacing(image: MetaTensor, spacing: Callable[..., MetaTensor]) -> MetaTensor:
    """Return a volume (C, *sizes) as MONAI's ``Spacing``, or a function that calls it, resamples it, in float32."""
    before = np.asarray(image.affine, dtype=np.float64)
    # At the origin: elsewhere the rounding of headers decides whether a voxel that is half outside is one more.
    origin = np.eye(4)
    origin[:3, 3] = before[:3, 3]
    placed = torch.as_tensor(np.linalg.inv(origin) @ before)
    # MONAI's own grid and options, by an image of one voxel that is repeated without memory.
    planned = spacing(MetaTensor(torch.zeros(1).expand(1, *image.shape[1:]), affine=placed), lazy=True)
    sizes = tuple(int(n) for n in planned.peek_pending_shape())
    after = origin @ np.asarray(planned.peek_pending_affine(), dtype=np.float64)
    matrix = np.linalg.solve(before, after)
    same = np.allclose(before, after, atol=AFFINE_TOL) or np.allclose(matrix, np.eye(4), atol=AFFINE_TOL)
    if same and sizes == tuple(image.shape[1:]):
        return image
    options = planned.pending_operations[-1]["extra_info"]
    resampled = _in_slabs(image.as_tensor(), matrix, sizes, options["mode"], options["padding_mode"])
    return MetaTensor(resampled, meta={**image.meta, "affine": torch.as_tensor(after)})


def label_on_grid(label: torch.Tensor, affine: np.ndarray, target: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return a label map (X, Y, Z) with its ``affine`` on another grid of the same space, by nearest neighbour.

    The result, of ``target`` and ``sizes``, has its first axis contiguous as in files.
    """
    matrix = np.linalg.solve(np.asarray(affine, dtype=np.float64), np.asarray(target, dtype=np.float64))
    axes = np.abs(matrix[:3, :3]).argmax(axis=0)
    straight = np.zeros((3, 3))
    straight[axes, range(3)] = matrix[axes, range(3)]
    drift = np.abs(matrix[:3, :3] - straight) @ (np.asarray(sizes) - 1)
    if sorted(axes) != [0, 1, 2] or drift.max() > _SAME_PLACE:
        return laid_out(_in_slabs(label[None], matrix, sizes, "nearest", "border")[0].numpy(), "F")
    # Row by row, column by column: the axes of both grids are the same but for their order and direction.
    label = label.permute(*axes.tolist())
    for axis, n in enumerate(sizes):
        # Rounded first, so that a voxel midway between two is not a matter of the rounding of headers.
        there = np.round(matrix[axes[axis], axis] * np.arange(n) + matrix[axes[axis], 3], _DECIMALS)
        nearest = torch.as_tensor(np.rint(there).astype(np.int64)).clamp(0, label.shape[axis] - 1)
        if not torch.equal(nearest, torch.arange(label.shape[axis])):
            label = label.index_select(axis, nearest)
    return laid_out(label.numpy(), "F")


def _in_slabs(voxels: torch.Tensor, matrix: np.ndarray, sizes: Sequence[int], mode: str, padding: str) -> torch.Tensor:
    """Return (C, *sizes) of the voxels' type, or float32; ``matrix`` leads from there to ``voxels``."""
    warp = AffineTransform(
        normalized=False, mode=mode, padding_mode=padding, align_corners=False, reverse_indexing=True
    )
    dtype = torch.float32 if voxels.is_floating_point() else voxels.dtype
    result = torch.empty(len(voxels), *sizes, dtype=dtype)
    planes = max(1, _SLAB // math.prod(sizes[1:]))
    for first in range(0, sizes[0], planes):
        slab = (min(planes, sizes[0] - first), *sizes[1:])
        there = matrix @ _shift((first, 0, 0))
        # The voxels that the corners of the slab span, with one around.
        corners = np.array(list(itertools.product(*((0, n - 1) for n in slab)))) @ there[:3, :3].T + there[:3, 3]
        ends = np.array(voxels.shape[1:])
        low = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, ends - 1)
        high = np.clip(np.ceil(corners.max(0)).astype(int) + 2, low + 1, ends)
        part = voxels[tuple([slice(None), *map(slice, low, high)])]
        moved = warp(part[None].double(), torch.as_tensor(_shift(-low) @ there), slab)[0]
        result[:, first : first + slab[0]] = moved if voxels.is_floating_point() else moved.round()
    return result


def _shift(voxels: Sequence[int]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix
