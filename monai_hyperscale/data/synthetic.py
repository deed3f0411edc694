"""Synthetic anatomy: labelled images made on the spot, for a first run without data. They show no real anatomy."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_hyperscale.errors import DatasetError

_LOGGER = logging.getLogger(__name__)

# Raise when the recipe changes: data sets written by another version are then written anew.
_VERSION = 1
_TISSUE = 0.5


def synthetic_case(
    seed: int | Sequence[int], spatial_dims: int = 3, size: int | Sequence[int] = 48, labels: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Make one image and its label map.

    All cases share one anatomy: a body with ``labels`` neighbouring structures at fixed places, so that structure 2 of
    one case means structure 2 of the next. A case turns, zooms, shifts and smoothly deforms it, draws the contrast of
    every region, adds unlabelled blobs that are as bright as a structure, and then a bias field, blur and noise. So
    brightness alone does not tell the structures apart: place and shape must be learned.

    ``size`` is the voxels of every axis, or about: of one number each axis differs by up to an eighth. ``labels`` is
    the number of structures, 1 to 20. Returns the image, float32 (*sizes), mostly in [0, 1]; and the label map, uint8
    (*sizes), 0 … ``labels``.

    Example:
        >>> image, label = synthetic_case(seed=1, spatial_dims=2, size=32)
        >>> image.shape == label.shape, np.unique(label).tolist()
        (True, [0, 1, 2, 3])
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if min([size] if isinstance(size, int) else size) < 8 or not isinstance(size, int) and len(size) != spatial_dims:
        raise ValueError(f"size must be at least 8 voxels, for all axes or for each, got {size!r}.")
    if not 1 <= labels <= 20:
        raise ValueError(f"labels must be 1 to 20, got {labels!r}.")
    rng = np.random.default_rng(seed)
    if isinstance(size, int):
        sizes = tuple(int(size + d) for d in rng.integers(-(size // 8), size // 8 + 1, spatial_dims))
    else:
        sizes = tuple(size)
    position = _positions(rng, sizes)
    centres, axes = _anatomy(spatial_dims, labels)
    distance = np.stack([_ellipsoid(position, *shape) for shape in zip(centres, axes, strict=True)])
    # An egg: its two ends tell a network which way round the body is.
    body = _ellipsoid(position, np.zeros(spatial_dims), np.linspace(0.85, 0.8, spatial_dims)) < 1 + 0.4 * position[-1]
    label = np.where((distance.min(axis=0) < 1) & body, distance.argmin(axis=0) + 1, 0).astype(np.uint8)

    # Structures are brighter and darker than the tissue by turns; their amounts differ, and vary from case to case.
    sign = np.where(np.arange(labels) % 2 == 0, 1.0, -1.0)
    amount = 0.34 - 0.2 * (np.arange(labels) // 2 + 0.5) / ((labels + 1) // 2)
    contrast = _TISSUE + sign * (amount + rng.uniform(-0.06, 0.06, labels))
    image = np.where(body, _TISSUE, rng.uniform(0.0, 0.1))
    image = np.where(label > 0, contrast[label.astype(int) - 1], image)
    for _ in range(3):
        place = rng.uniform(-0.6, 0.6, spatial_dims)
        blob = _ellipsoid(position, place, rng.uniform(0.1, 0.22, spatial_dims)) < 1
        image = np.where(blob & body & (label == 0), rng.choice(contrast), image)
    image *= np.exp(smooth_field(rng, sizes, 0.12, order=2)) + smooth_field(rng, sizes, 0.02, order=6)
    image = gaussian_filter(image, rng.uniform(0.4, 1.0))
    image += rng.normal(0, rng.uniform(0.02, 0.06), sizes)
    return image.clip(min=0).astype(np.float32), label


def _positions(rng: np.random.Generator, sizes: Sequence[int]) -> np.ndarray:
    """Return where in the shared anatomy each voxel lies, (D, *sizes), in half-widths from its middle."""
    dims = len(sizes)
    grid = np.stack(np.meshgrid(*((2 * np.arange(n) + 1) / n - 1 for n in sizes), indexing="ij"))
    # A random rotation of at most about 0.2 rad per plane, to first order: shear hides in the deformation.
    turn = rng.uniform(-0.2, 0.2, (dims, dims))
    matrix = np.eye(dims) * rng.uniform(0.9, 1.1, dims) + (turn - turn.T) / 2
    position = np.tensordot(matrix, grid, axes=1) + rng.uniform(-0.08, 0.08, dims).reshape(-1, *[1] * dims)
    return position + np.stack([smooth_field(rng, sizes, 0.07, order=4) for _ in range(dims)])


def smooth_field(rng: np.random.Generator, sizes: Sequence[int], spread: float, order: int) -> np.ndarray:
    """Return a random cosine series of ``order`` terms per axis, with mean 0 and standard deviation ``spread``."""
    dims = len(sizes)
    frequency = np.sqrt(sum(np.meshgrid(*[np.arange(order) ** 2.0] * dims, indexing="ij")))
    weights = rng.normal(size=(order,) * dims) / (1 + frequency)
    weights.flat[0] = 0.0
    power = weights**2
    for axis in range(dims):  # the mean square of a cosine is 1/2, of the constant 1
        power = np.moveaxis(np.moveaxis(power, axis, -1) * np.where(np.arange(order) > 0, 0.5, 1.0), -1, axis)
    field = weights * spread / math.sqrt(power.sum())
    for n in sizes:  # each pass replaces the first axis by the voxels of one axis and moves it to the end
        basis = np.cos(np.pi * np.outer(np.arange(order), (np.arange(n) + 0.5) / n))
        field = np.tensordot(field, basis, axes=(0, 0))
    return field


def _anatomy(dims: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centres and semi-axes (labels, D) of the structures, in half-widths; the same for every case."""
    index = np.arange(labels) + 0.5
    golden = math.pi * (1 + math.sqrt(5))
    if dims == 2:
        directions = np.stack([np.cos(2 * np.pi * index / labels), np.sin(2 * np.pi * index / labels)], axis=1)
    else:  # evenly spread over the sphere
        polar = np.arccos(1 - 2 * index / labels)
        directions = np.stack(
            [np.cos(golden * index) * np.sin(polar), np.sin(golden * index) * np.sin(polar), np.cos(polar)], axis=1
        )
    rng = np.random.default_rng([_VERSION, dims, labels])
    room = min(0.38, 0.85 * labels ** (-1 / (dims - 1)))
    centres = 0.4 * directions + rng.uniform(-0.04, 0.04, (labels, dims))
    return centres, room * rng.uniform(0.85, 1.1, (labels, dims))


def _ellipsoid(position: np.ndarray, centre: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the squared distance from the centre in units of the semi-axes: below 1 inside."""
    column = (-1, *[1] * (len(position)))
    return (((position - centre.reshape(column)) / axes.reshape(column)) ** 2).sum(axis=0)


def write_synthetic_dataset(
    folder: str | os.PathLike, spatial_dims: int = 3, cases: int = 32, size: int = 48, labels: int = 3, seed: int = 0
) -> Path:
    """Write a data set of :func:`synthetic_case` in the layout of the Medical Segmentation Decathlon.

    3D cases are NIfTI (int16, 1 mm, RAS), 2D cases PNG (8 bit). ``dataset.json`` says that they are synthetic, and how
    they were made. Files appear all at once, or not at all. A folder that holds them already is left as it is, one of
    synthetic data of other settings replaced, one that holds anything else a :class:`DatasetError`. ``size`` is the
    voxels per axis, about; see :func:`synthetic_case`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(p.name for p in write_synthetic_dataset(folder, 3, cases=1, size=8, labels=1).iterdir())
        ['dataset.json', 'imagesTr', 'labelsTr']
    """
    settings = {"version": _VERSION, "spatial_dims": spatial_dims, "cases": cases, "size": size, "labels": labels}
    settings["seed"] = seed
    return write_once(Path(folder), "dataset.json", settings, _write_cases)


def write_once(
    folder: Path, listing: str, settings: dict[str, Any], write: Callable[[Path, dict[str, Any]], dict[str, Any]]
) -> Path:
    """Fill a folder with synthetic data all at once, or not at all; leave it as it is if it holds them already.

    ``listing`` is the file in it that lists the others and has the settings as "synthetic"; ``write`` fills a new
    folder and returns what the list says of this data set alone. Another content is a :class:`DatasetError`.
    """
    folder = Path(os.path.abspath(folder.expanduser()))
    if _is_complete(folder, listing, settings):
        return folder
    _refuse_other_content(folder, listing)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    structures = {str(n): f"structure {n}" for n in range(1, settings["labels"] + 1)}
    try:
        description = {
            "description": "Random shapes made by monai-hyperscale for a first run; they show no real anatomy.",
            "modality": {"0": "synthetic" if settings["spatial_dims"] == 3 else "grey"},
            "labels": {"0": "background", **structures},
            **write(draft, settings),
            "synthetic": settings,
        }
        (draft / listing).write_text(json.dumps(description, indent=1), encoding="utf-8")
        _replace_folder(draft, folder, listing, settings)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _LOGGER.info("wrote synthetic anatomy to %s; it shows no real anatomy.", folder)
    return folder


def write_array(array: np.ndarray, path: Path) -> np.ndarray:
    """Write an image (float32) or a label map: 8-bit PNG, or NIfTI of 1 mm, centred at 0; return its affine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_image = array.dtype == np.float32
    if array.ndim == 2:
        pixels = np.rint(255 * array.clip(max=1)).astype(np.uint8) if is_image else array
        Image.fromarray(pixels.T).save(path)  # PIL's first axis is the vertical one
        return np.diag([-1.0, -1.0, 1.0, 1.0])
    affine = np.eye(4)
    affine[:3, 3] = -(np.array(array.shape) - 1) / 2
    volume = nib.Nifti1Image(np.rint(1000 * array).astype(np.int16) if is_image else array, affine)
    volume.header.set_xyzt_units("mm")
    nib.save(volume, path)
    return affine


def _is_complete(folder: Path, listing: str, settings: dict[str, Any]) -> bool:
    try:
        description = json.loads((folder / listing).read_text(encoding="utf-8"))
        entries = description["training" if "training" in description else "pairs"]
        files = [folder / path for entry in entries for path in entry.values()]
        return description["synthetic"] == settings and all(path.is_file() for path in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _refuse_other_content(folder: Path, listing: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file; give a folder for the synthetic data set.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        ours = "synthetic" in json.loads((folder / listing).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise DatasetError(f"{folder} holds other files; give a new or empty folder for the synthetic data set.")


def _write_cases(folder: Path, settings: dict[str, int]) -> dict[str, Any]:
    dims, suffix = settings["spatial_dims"], ".nii.gz" if settings["spatial_dims"] == 3 else ".png"
    training = []
    for index in range(settings["cases"]):
        made = synthetic_case([settings["seed"], index], dims, settings["size"], settings["labels"])
        case = {key: f"./{key}sTr/case_{index:03d}{suffix}" for key in ("image", "label")}
        for path, array in zip(case.values(), made, strict=True):
            write_array(array, folder / path)
        training.append(case)
    return {
        "name": "Synthetic anatomy",
        "tensorImageSize": f"{dims}D",
        "numTraining": len(training),
        "training": training,
    }


def _replace_folder(draft: Path, folder: Path, listing: str, settings: dict[str, Any]) -> None:
    # Another process, such as another rank, may be faster: its files are the same, and may already be in use.
    if _is_complete(folder, listing, settings):
        return
    try:
        if folder.is_dir():
            old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
            folder.rename(old)
            shutil.rmtree(old)
        draft.rename(folder)
    except OSError:
        if not _is_complete(folder, listing, settings):
            raise
