"""Finding out in seconds, and not after an hour of training, that a data set does not fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_hyperscale.data.datalist import SegmentationDataset, spread
from monai_hyperscale.data.headers import FileHeader, label_counts, read_header
from monai_hyperscale.errors import DatasetError

__all__ = [
    "check_dataset",
    "check_dimensions",
    "check_files",
    "check_grid",
    "check_headers",
    "check_values",
    "image_files",
    "spread_cases",
]

_LOGGER = logging.getLogger(__name__)

_LABEL_VOXELS = 100_000_000
_MIN_CASES = 3


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
    check_files([path for case in cases for path in (*image_files(case), case["label"])])
    opened = spread_cases(cases, limit)
    for case in opened:
        check_headers(case, dataset)
    tell_places(opened)
    check_values([case["label"] for case in opened], dataset)


def tell_places(cases: Sequence[Mapping[str, Any]]) -> None:
    """Warn of images whose place in space is a guess: of the first one, and how many there are.

    Args:
        cases: with their images. What cannot be read is left to what reads it whole.
    """
    noted = []
    for case in cases:
        with suppress(DatasetError):
            path = image_files(case)[0]
            if note := read_header(path).note:
                noted.append((path, note))
    if noted:
        _LOGGER.warning(
            "%s %s %d of %d images are like this; a data set is read as its headers say, so repair them first.",
            *noted[0],
            len(noted),
            len(cases),
        )


def check_files(files: Sequence[str]) -> None:
    """Check that every file exists."""
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(files)} files of the data set are missing, {missing[0]} first; "
            "correct the paths in the list of cases or complete the folder."
        )


def spread_cases(cases: Sequence[dict], limit: int | None) -> list[dict]:
    """Return up to ``limit`` cases, evenly spread over the list."""
    count = len(cases) if limit is None else min(limit, len(cases))
    return [cases[index] for index in np.linspace(0, len(cases) - 1, count).round().astype(int)]


def image_files(case: Mapping[str, Any]) -> list[str]:
    """Return the image files of a case, one or one per channel."""
    return [case["image"]] if isinstance(case["image"], str) else list(case["image"])


def check_headers(case: dict, dataset: Any) -> FileHeader:
    """Check the headers of a case against the data set; return that of its first image."""
    paths = image_files(case)
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


def check_dimensions(data: str, found: int, spatial_dims: int) -> None:
    """Check that images are such as a network takes; one of 2 dimensions takes the slices of volumes, too.

    Args:
        data: what is checked, for people.
        found: dimensions of the images, 2 or 3.
        spatial_dims: of the network.

    Raises:
        DatasetError: if they are not.

    Example:
        >>> check_dimensions("heads", 2, spatial_dims=3)
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.DatasetError: heads holds 2D images, the network is for volumes: use images.json.
    """
    if found < spatial_dims:
        raise DatasetError(f"{data} holds {found}D images, the network is for volumes: use images.json.")


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


def check_values(paths: Sequence[str], dataset: Any) -> None:
    """Check the label values of label files against those of the data set."""
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
