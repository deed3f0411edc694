"""Finding out in seconds, and not after an hour of training, that a data set does not fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_hyperscale.data.datalist import SegmentationDataset, spread
from monai_hyperscale.data.headers import FileHeader, label_counts, read_header
from monai_hyperscale.data.pairs import RegistrationImages
from monai_hyperscale.errors import DatasetError

__all__ = ["check_dataset", "check_pairs"]

_LOGGER = logging.getLogger(__name__)

_LABEL_VOXELS = 100_000_000
_MIN_CASES = 3
# Displacement fields that are opened: unlike headers, they are read whole.
_MAX_FIELDS = 10
# Relative; voxel sizes in headers are rounded.
_SPACING_TOLERANCE = 0.02


def check_dataset(dataset: SegmentationDataset, limit: int | None = 500) -> None:
    """Stop with one clear sentence if the data set cannot be trained on.

    Looked at are: the number of cases; that every file exists; the headers of up to ``limit`` cases (channels, axes,
    and that image and label lie on one grid); and the values in as many of their label files as hold 100 million
    voxels.

    Args:
        dataset: what :func:`read_dataset` returned.
        limit: how many cases to open, evenly spread over the list; ``None`` for all.

    Raises:
        DatasetError: at the first thing that is wrong.

    Example:
        >>> check_dataset(SegmentationDataset([], ("MRI",), {1: "tumour"}, 3, (0, 1)))
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.DatasetError: the data set has 0 cases; training, validation and test need at least 3.
    """
    cases = dataset.cases
    if len(cases) < _MIN_CASES:
        raise DatasetError(
            f"the data set has {len(cases)} cases; training, validation and test need at least {_MIN_CASES}."
        )
    _check_files([path for case in cases for path in (*_images(case), case["label"])])
    opened = _spread_cases(cases, limit)
    for case in opened:
        _check_headers(case, dataset)
    _check_values([case["label"] for case in opened], dataset)


def check_pairs(images: RegistrationImages, limit: int | None = 500) -> None:
    """Stop with one clear sentence if the images cannot be registered.

    Looked at are: that every file exists; the headers of up to ``limit`` cases (channels, axes, that all have the same
    number of axes, and that image and label lie on one grid); that pairs of known displacement lie on one grid; and
    the label values, as in :func:`check_dataset`. Voxel sizes that differ from case to case are told in the log.

    Args:
        images: what :func:`read_pairs` returned.
        limit: how many cases to open, evenly spread over the list; ``None`` for all.

    Raises:
        DatasetError: at the first thing that is wrong.

    Example:
        >>> check_pairs(RegistrationImages([], ("MRI",), {}, 3))
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.DatasetError: there are 0 images; a pair needs two.
    """
    cases = images.cases
    if len(cases) < 2:
        raise DatasetError(f"there {'is 1 image' if cases else 'are 0 images'}; a pair needs two.")
    labels = [case["label"] for case in cases if "label" in case]
    fields = [pair for pair in images.pairs or () if pair.field is not None]
    _check_files([*(path for case in cases for path in _images(case)), *labels, *(str(pair.field) for pair in fields)])
    opened = _spread_cases(cases, limit)
    spacings = [spacing for case in opened if (spacing := _check_headers(case, images).spacing) is not None]
    if labels:
        _check_values([case["label"] for case in opened], images)
    for pair in fields[:_MAX_FIELDS]:
        moving, fixed = (_images(cases[index])[0] for index in (pair.moving, pair.fixed))
        header = read_header(fixed)
        check_grid(header, read_header(moving), fixed, moving)
        _check_field(str(pair.field), header, fixed)
    if spacings and np.ptp(spacings, axis=0).max() > _SPACING_TOLERANCE * np.min(spacings):
        _LOGGER.warning(
            "voxel sizes differ, from %s to %s mm; give --spacing to resample all images to one.",
            np.min(spacings, axis=0).round(3).tolist(),
            np.max(spacings, axis=0).round(3).tolist(),
        )


def _check_field(path: str, fixed: FileHeader, fixed_path: str) -> None:
    # Here, because most data sets have no fields.
    from monai_hyperscale.io.fields import read_field

    field = read_field(path)
    affine = None if fixed.affine is None else np.asarray(field.affine, dtype=float)
    check_grid(fixed, FileHeader(tuple(field.shape[1:]), 1, affine), fixed_path, path)


def _check_files(files: Sequence[str]) -> None:
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(files)} files of the data set are missing, {missing[0]} first; "
            "correct the paths in the list of cases or complete the folder."
        )


def _spread_cases(cases: Sequence[dict], limit: int | None) -> list[dict]:
    count = len(cases) if limit is None else min(limit, len(cases))
    return [cases[index] for index in np.linspace(0, len(cases) - 1, count).round().astype(int)]


def _images(case: dict) -> list[str]:
    return [case["image"]] if isinstance(case["image"], str) else list(case["image"])


def _check_headers(case: dict, dataset: SegmentationDataset | RegistrationImages) -> FileHeader:
    paths = _images(case)
    headers = [read_header(path) for path in paths]
    first = headers[0]
    if len(first.sizes) != dataset.spatial_dims:
        raise DatasetError(
            f"{paths[0]} has {len(first.sizes)} axes, where the data set's first case has {dataset.spatial_dims}; "
            "keep 2D and 3D images in separate data sets."
        )
    channels = sum(header.channels for header in headers)
    # Grey image files in a colour data set are read as red = green = blue.
    if channels != len(dataset.channels) and not (
        first.affine is None and len(paths) == 1 and len(dataset.channels) == 3
    ):
        names = ", ".join(dataset.channels)
        raise DatasetError(
            f"case {case['name']} has {channels} channels, but the data set has {len(dataset.channels)} ({names}); "
            "correct the channels in dataset.json, or the case."
        )
    if "label" in case:
        label = read_header(case["label"])
        if label.channels != 1 and label.affine is not None:
            raise DatasetError(
                f"{case['label']} has {label.channels} channels; a label file needs one, with one number per voxel."
            )
        paths.append(case["label"])
        headers.append(label)
    for path, header in [*zip(paths, headers, strict=True)][1:]:
        check_grid(first, header, paths[0], path)
    return first


def check_grid(first: FileHeader, other: FileHeader, first_path: str, path: str) -> None:
    """Check that two files have the same voxels, to half a voxel.

    Raises:
        DatasetError: if sizes or affines differ.
    """
    if first.sizes != other.sizes:
        raise DatasetError(
            f"{path} has size {_size(other)}, but {first_path} has {_size(first)}; resample one to the other."
        )
    if first.affine is None or other.affine is None:
        return
    # Volumes are brought to RAS by their own affines, so a label with another affine would end up beside its image.
    corners = nib.affines.apply_affine(np.linalg.inv(first.affine) @ other.affine, _corners(first.sizes))
    apart = float(np.abs(corners - _corners(first.sizes)).max())
    if apart > 0.5:
        raise DatasetError(
            f"{path} lies {apart:.1f} voxels off {first_path}, by the affines in their headers; "
            "resample one to the other, or copy the affine if the voxels do correspond."
        )


def _corners(sizes: Sequence[int]) -> np.ndarray:
    ends = [(0.0, n - 1.0) for n in (*sizes, 1, 1)[:3]]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)


def _size(header: FileHeader) -> str:
    return "×".join(str(n) for n in header.sizes)


def _check_values(paths: Sequence[str], dataset: SegmentationDataset | RegistrationImages) -> None:
    found: set[int] = set()
    for path in spread(paths, _LABEL_VOXELS):
        values = set(label_counts([path]))
        unknown = sorted(values - set(dataset.label_values))
        if unknown:
            raise DatasetError(
                f"{path} holds the value {unknown[0]}, which is not one of the data set's label values "
                f"{list(dataset.label_values)}; declare it in dataset.json, or correct the file."
            )
        found |= values
    if found <= {0}:
        raise DatasetError(
            f"the label files hold background (0) only, {paths[0]} first; nothing can be learned from them."
        )
