"""Small files that several tests of the data folder need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image


def _write(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.fixture
def write() -> Callable[..., Path]:
    """Return a function that writes (path, array[, affine]) as NIfTI, or as a 2D image in PIL's axis order."""
    return _write


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a folder with four NIfTI cases of 4×5×6 and labels 0, 1, 2."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        _write(tmp_path / "imagesTr" / f"{name}.nii.gz", rng.normal(size=(4, 5, 6)).astype(np.float32))
        _write(tmp_path / "labelsTr" / f"{name}.nii.gz", rng.integers(0, 3, (4, 5, 6)).astype(np.uint8))
    return tmp_path
