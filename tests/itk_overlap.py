"""Dice by SimpleITK, to compare ours with."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk


def label_dice(first: np.ndarray, second: np.ndarray) -> dict[int, float]:
    """Return the Dice coefficient of every label but 0 that either map has."""
    # Places among the values that occur, since SimpleITK's labels end at 32 bit.
    values, places = np.unique(np.stack([first, second, np.zeros_like(first)]), return_inverse=True)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(each.astype(np.uint32)) for each in places.reshape(3, *first.shape)[:2]))
    return {int(value): measure.GetDiceCoefficient(place) for place, value in enumerate(values.tolist()) if value}
