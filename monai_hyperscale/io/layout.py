"""The order of an array's axes in memory, changed at the speed of memory."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np

__all__ = ["laid_out"]

_BLOCK = 64


def laid_out(array: np.ndarray, order: Literal["C", "F"] = "C") -> np.ndarray:
    """Return the array with its last axis (C) or its first (F) contiguous in memory; itself if it is so already.

    As ``np.asarray(array, order=order)``, but copied block by block: files of volumes are in the one order, tensors in
    the other, and from one to the other every voxel lies on a page of its own, which takes ten times as long.

    Args:
        array: of any number of axes.
        order: ``C`` or ``F``.

    Example:
        >>> laid_out(np.zeros((3, 4, 5)), "F").strides
        (8, 24, 96)
    """
    if array.flags.c_contiguous if order == "C" else array.flags.f_contiguous:
        return array
    result = np.empty(array.shape, array.dtype, order)
    for corner in product(*(range(0, n, _BLOCK) for n in array.shape)):
        block = tuple(slice(start, start + _BLOCK) for start in corner)
        result[block] = array[block]
    return result
