"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

OBLIQUE = np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -12], [0, 0, 3, -10], [0, 0, 0, 1.0]])
PSR = np.array([[0, 0, 1.0, -9], [-1.5, 0, 0, 12], [0, 1.2, 0, -9], [0, 0, 0, 1]])


class Said(NamedTuple):
    """What a command has printed."""

    out: str
    err: str

    @property
    def error(self) -> str:
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return line


Run = Callable[..., Said]
Write = Callable[..., Path]


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def itk_resampled(moving: object, fixed: object, field: object, nearest: bool = False) -> np.ndarray:
    """Return what SimpleITK makes of files alone, as its users write it."""
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    method = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    # Of whole numbers ITK would make whole numbers, rounded down.
    image = sitk.ReadImage(str(moving)) if nearest else sitk.ReadImage(str(moving), sitk.sitkFloat32)
    outside = float(sitk.GetArrayFromImage(image).min())
    return sitk.GetArrayFromImage(sitk.Resample(image, sitk.ReadImage(str(fixed)), transform, method, outside)).T


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
