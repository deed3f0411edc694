"""How well two label maps agree."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from monai_hyperscale.errors import RegistrationError

__all__ = ["label_dice"]


def label_dice(first: np.ndarray, second: np.ndarray) -> dict[int, float]:
    """Return the Dice coefficient of every label but 0 that either map has, by SimpleITK.

    Args:
        first: whole numbers of at least 0.
        second: of the same shape.

    Raises:
        RegistrationError: if the shapes differ.

    Example:
        >>> label_dice(np.array([[1, 1, 0, 2]]), np.array([[1, 0, 0, 3]])) == {1: 2 / 3, 2: 0.0, 3: 0.0}
        True
    """
    if first.shape != second.shape:
        raise RegistrationError(f"label maps to compare must be on one grid, got shapes {first.shape}, {second.shape}.")
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(labels.astype(np.uint32)) for labels in (first, second)))
    values = sorted({int(value) for labels in (first, second) for value in np.unique(labels) if value})
    return {value: measure.GetDiceCoefficient(value) for value in values}
