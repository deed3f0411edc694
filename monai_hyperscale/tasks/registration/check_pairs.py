"""The check of images that are to be registered, before anything is trained."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from monai_hyperscale.data.check import (
    check_files,
    check_grid,
    check_headers,
    check_values,
    image_files,
    spread_cases,
    tell_places,
)
from monai_hyperscale.data.headers import FileHeader, read_header
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.tasks.registration.pairs import RegistrationImages

__all__ = ["check_pairs"]

_LOGGER = logging.getLogger(__name__)

# Displacement fields that are opened: unlike headers, they are read whole.
_MAX_FIELDS = 10
# Relative; voxel sizes in headers are rounded.
_SPACING_TOLERANCE = 0.02


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
    check_files(
        [*(path for case in cases for path in image_files(case)), *labels, *(str(pair.field) for pair in fields)]
    )
    opened = spread_cases(cases, limit)
    spacings = [spacing for case in opened if (spacing := check_headers(case, images).spacing) is not None]
    tell_places(opened)
    if labels:
        check_values([case["label"] for case in opened], images)
    for pair in fields[:_MAX_FIELDS]:
        moving, fixed = (image_files(cases[index])[0] for index in (pair.moving, pair.fixed))
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
    from monai_hyperscale.io.fields import grid_affine, read_field
    from monai_hyperscale.io.images import read_source

    field = read_field(path)
    affine = None if fixed.affine is None else np.asarray(field.affine, dtype=float)
    fixed = replace(fixed, affine=grid_affine(read_source(fixed_path)) if affine is not None else None)
    check_grid(fixed, FileHeader(tuple(field.shape[1:]), 1, affine), fixed_path, path)
