"""Finding out in seconds, and not after an hour of training, that a data set does not fit."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_hyperscale.data.datalist import SegmentationDataset, spread, spread_voxels
from monai_hyperscale.data.headers import FileHeader, case_header, image_files, label_values, read_header
from monai_hyperscale.errors import DatasetError

_LOGGER = logging.getLogger(__name__)

_LABEL_VOXELS = 100_000_000
_MIN_CASES = 3


def check_dataset(dataset: SegmentationDataset, limit: int | None = 500) -> None:
    """Stop with one clear sentence if the data set cannot be trained on.

    Looked at are: that every file exists; the headers of up to ``limit`` cases, evenly spread (channels, axes, and that
    image and label lie on one grid); and the values in as many of their label files as hold 100 million voxels. The
    first thing that is wrong is a :class:`DatasetError`; a place in space that is a guess is a warning.

    Example:
        >>> check_dataset(SegmentationDataset([], ("MRI",), {1: "tumour"}, 3, (0, 1)))
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.DatasetError: the data set has 0 cases; training, validation and test need at least 3.
    """
    if len(dataset.cases) < _MIN_CASES:
        raise DatasetError(
            f"the data set has {len(dataset.cases)} cases; training, validation and test need at least {_MIN_CASES}."
        )
    check_cases(dataset, limit)


def check_cases(dataset: Any, limit: int | None = 500, more: Sequence[str] = ()) -> list[FileHeader]:
    """Check files, headers and label values, as :func:`check_dataset` says, and return the headers that were read.

    Label maps are looked at where there are any; ``more`` are further files that must exist.
    """
    files = [path for case in dataset.cases for path in (*image_files(case), case.get("label")) if path] + [*more]
    missing = [path for path in files if not Path(path).is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(files)} files of the data set are missing, {missing[0]} first; "
            "correct the paths in the list of cases or complete the folder."
        )
    opened = spread(dataset.cases, limit)
    headers = [_checked(case, dataset) for case in opened]
    tell_places(opened)
    labels = [case["label"] for case in opened if "label" in case]
    if labels:
        _check_values(labels, dataset)
    return headers


def tell_places(cases: Sequence[Mapping[str, Any]]) -> None:
    """Warn of images whose place in space is a guess; what cannot be read is left to what reads it whole."""
    noted = []
    for case in cases:
        with suppress(DatasetError):
            if note := case_header(case).note:
                noted.append((image_files(case)[0], note))
    if noted:
        _LOGGER.warning(
            "%s %s %d of %d images are like this; a data set is read as its headers say, so repair them first.",
            *noted[0],
            len(noted),
            len(cases),
        )


def _checked(case: Mapping[str, Any], dataset: Any) -> FileHeader:
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
    """Check that images are such as a network takes; one of 2 dimensions takes the slices of volumes, too."""
    if found < spatial_dims:
        raise DatasetError(f"{data} holds {found}D images, the network is for volumes: use images.json.")


def check_grid(first: FileHeader, other: FileHeader, first_path: str, path: str) -> None:
    """Check that two files have the same voxels, to half a voxel; a :class:`DatasetError` says how far they are off."""
    if first.sizes != other.sizes:
        sizes = ["×".join(map(str, header.sizes)) for header in (other, first)]
        raise DatasetError(f"{path} has size {sizes[0]}, but {first_path} has {sizes[1]}; resample one to the other.")
    if first.affine is None or other.affine is None:
        return
    # Volumes are brought to RAS by their own affines, so a label with another affine would end up beside its image.
    corners = np.array([*itertools.product(*((0.0, n - 1.0) for n in (*first.sizes, 1, 1)[:3]))])
    moved = nib.affines.apply_affine(np.linalg.inv(first.affine) @ other.affine, corners)
    off = float(np.abs(moved - corners).max())
    if off > 0.5:
        raise DatasetError(
            f"{path} lies {off:.1f} voxels off {first_path}, by the affines in their headers; "
            "resample one to the other, or copy the affine if the voxels do correspond."
        )


def _check_values(paths: Sequence[str], dataset: Any) -> None:
    found: set[int] = set()
    for path in spread_voxels(paths, _LABEL_VOXELS):
        values = label_values([path])
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
