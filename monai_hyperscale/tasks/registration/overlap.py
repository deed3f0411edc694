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
    # Places among the values that occur, since SimpleITK's labels end at 32 bit.
    values, places = np.unique(np.stack([first, second, np.zeros_like(first)]), return_inverse=True)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(each.astype(np.uint32)) for each in places.reshape(3, *first.shape)[:2]))
    return {int(value): measure.GetDiceCoefficient(place) for place, value in enumerate(values.tolist()) if value}
