"""What tests of registration on the command line share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

OBLIQUE = np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -12], [0, 0, 3, -10], [0, 0, 0, 1.0]])
PSR = np.array([[0, 0, 1.0, -9], [-1.5, 0, 0, 12], [0, 1.2, 0, -9], [0, 0, 0, 1]])


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


def itk_resampled(moving: str, fixed: str, field: str, nearest: bool = False) -> np.ndarray:
    """Return what SimpleITK makes of files alone, as its users write it."""
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(field, sitk.sitkVectorFloat64))
    method = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    # Of whole numbers ITK would make whole numbers, rounded down.
    image = sitk.ReadImage(moving) if nearest else sitk.ReadImage(moving, sitk.sitkFloat32)
    moved = sitk.Resample(image, sitk.ReadImage(fixed), transform, method, float(sitk.GetArrayFromImage(image).min()))
    return sitk.GetArrayFromImage(moved).transpose()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []
