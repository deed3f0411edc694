"""Images that look like T1 crops round a right hippocampus, made by numpy and scipy, not by the package."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

HEADER = np.array([[1.0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]])  # as in the Decathlon's crops


# Middle of the hippocampus and its half widths along x and z, in voxels, at some y of the crop, from back to front.
_Y = np.array([5, 9, 12, 18, 24, 30, 36, 40, 44])
_X = np.array([18, 17, 14.5, 12.6, 12, 14.3, 16.8, 19, 21])
_Z = np.array([22.5, 20.5, 17.9, 14.5, 12.3, 10.5, 8.7, 7, 5.5])
_WIDE = np.array([4.5, 7, 7, 7, 7, 8.5, 9, 8, 5])
_HIGH = np.array([3, 4.5, 4.5, 4, 4, 4.5, 5, 4.5, 2.5])


def crop(seed: int, shape: tuple[int, int, int] = (36, 50, 36)) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, uint16, and its labels, uint8: 1 is the front of the hippocampus, 2 its back."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    shift = rng.uniform(-1.5, 1.5, 3)
    at_x, at_z, wide, high = (np.interp(y - shift[1], _Y, values) for values in (_X, _Z, _WIDE, _HIGH))
    scale = rng.uniform(0.9, 1.05)
    across, up = (x - at_x - shift[0]) / (wide * scale), (z - at_z - shift[2]) / (high * scale)
    radius = np.hypot(across, up)
    inside = (radius < 1) & (y - shift[1] > _Y[0]) & (y - shift[1] < _Y[-1])
    labels = np.where(inside, np.where(y - shift[1] > 30, 1, 2), 0).astype(np.uint8)
    texture = [gaussian_filter(rng.standard_normal(shape), width) for width in (4, 2.5)]
    texture = [values / values.std() for values in texture]
    tissue = 670 + 47 * texture[0]  # white matter
    tissue[up < -1.95 + 0.25 * texture[1]] = 370  # the gyrus below
    tissue[up < -2.85 + 0.4 * texture[0]] = 290  # the sulcus below that
    medial = (across > 1.75 + 0.15 * texture[1]) & (y < 36)
    tissue[medial] = np.where(up > 0.6, 610, 265)[medial]  # brain stem and thalamus, cistern
    tissue[(radius < 1.3) & (up > -0.35) & (y < 36)] = 100  # temporal horn
    tissue[inside] = (390 + 10 * texture[1])[inside]
    tissue[(y > 37 + texture[0]) & (up > -1.5) & ~inside] = 595  # amygdala
    image = gaussian_filter(tissue + 16 * texture[1], 0.5) + 15 * rng.standard_normal(shape)
    return np.clip(image, 0, None).round().astype(np.uint16), labels


def write(path: Path, voxels: np.ndarray) -> Path:
    """Write voxels as NIfTI, 1 mm, with the orientation and origin of the Decathlon's crops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, HEADER)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def write_dataset(folder: Path, cases: int = 3) -> Path:
    """Write a labelled data set in the Decathlon's layout."""
    names = [f"crop_{number:03d}.nii.gz" for number in range(1, cases + 1)]
    for number, name in enumerate(names, 1):
        image, labels = crop(number, (34 + 2 * (number % 2), 48 + 2 * (number % 3), 36))
        write(folder / "imagesTr" / name, image)
        write(folder / "labelsTr" / name, labels)
    content = {
        "name": "crops",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder
