"""What a data-set file is, told from its header alone: size, channels, affine. And which values a label file holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import ensure_tuple
from nibabel.orientations import io_orientation
from PIL import Image, UnidentifiedImageError

from monai_hyperscale.data.labels import label_counts
from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.io.grids import is_invertible
from monai_hyperscale.io.images import split_suffix
from monai_hyperscale.io.labels import read_label
from monai_hyperscale.io.nifti import NIFTI_SUFFIXES, load_nifti_header
from monai_hyperscale.io.pictures import GREY_MODES, PICTURE_SUFFIXES
from monai_hyperscale.io.seen import SeenImages

_SUFFIXES = NIFTI_SUFFIXES + PICTURE_SUFFIXES


@dataclass(frozen=True)
class FileHeader:
    """Size per axis as MONAI loads the file, channels, affine in RAS millimetres; a ``note`` tells what is odd of it.

    2D image files are (width, height) and have no affine.
    """

    sizes: tuple[int, ...]
    channels: int
    affine: np.ndarray | None = None
    note: str = ""

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size in mm, or ``None`` for 2D image files."""
        if self.affine is None:
            return None
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0)[: len(self.sizes)])

    def in_ras(self, numbers: Sequence[float]) -> np.ndarray:
        """Return numbers of the file's axes, such as its sizes, in the order of RAS axes, as volumes are loaded."""
        ordered = np.asarray(numbers, dtype=float)
        if self.affine is None or len(self.sizes) < 3:
            return ordered
        return ordered[np.argsort(io_orientation(self.affine)[:, 0])]


def file_suffix(path: str | os.PathLike) -> str:
    """Return the suffix of a file that data sets hold, in lower case; ``""`` if it is none."""
    suffix = split_suffix(str(path))[1]
    return suffix if suffix in _SUFFIXES else ""


def read_header(path: str | Path) -> FileHeader:
    """Read the header of a NIfTI or 2D image file; one that cannot be used is a :class:`DatasetError`."""
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path} does not exist.")
    suffix = file_suffix(path)
    if not suffix:
        raise DatasetError(f"{path} is not of a known kind ({', '.join(_SUFFIXES)}); convert it first.")
    return _image_header(path) if suffix in PICTURE_SUFFIXES else _volume_header(path)


def _volume_header(path: Path) -> FileHeader:
    try:
        header, affine, note = load_nifti_header(path)
    except ImageError as error:
        raise DatasetError(str(error)) from error
    shape, dtype = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
    if dtype.fields is not None or np.issubdtype(dtype, np.complexfloating):
        raise DatasetError(f"{path} holds {dtype} voxels; scalar voxels are needed, so split it first.")
    if len(shape) not in (2, 3, 4) or min(shape) < 1:
        raise DatasetError(f"{path} has shape {shape}; 2 or 3 axes, and a last one for channels, are needed.")
    if not is_invertible(affine):
        raise DatasetError(f"{path} has an affine that cannot be inverted; repair its sform or qform.")
    return FileHeader(shape[:3], shape[3] if len(shape) == 4 else 1, affine, note=note)


def _image_header(path: Path) -> FileHeader:
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames != 1:
                raise DatasetError(f"{path} holds {frames} pages; one image per file is needed, so split it first.")
            return FileHeader(image.size, 1 if image.mode in GREY_MODES else 3)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read as an image ({error}); replace the file.") from error


def image_files(case: Mapping[str, Any]) -> list[str]:
    """Return the image files of a case, one or one per channel."""
    return [str(path) for path in ensure_tuple(case["image"])]


def case_header(case: Mapping[str, Any]) -> FileHeader:
    """Return the header of a case's image, of its first channel's file."""
    return read_header(image_files(case)[0])


def seen_images(cases: Iterable[Mapping[str, Any]]) -> SeenImages:
    """Return what the images of a data list are like in space, from their headers."""
    return SeenImages.of((header.sizes, header.affine) for header in map(case_header, cases))


def sizes_at(cases: Iterable[Mapping[str, Any]], spacing: Sequence[float] | None = None) -> list[np.ndarray]:
    """Return the voxels per axis of images as they are loaded: volumes in RAS order, and at ``spacing`` in mm."""
    found = []
    for header in map(case_header, cases):
        sizes = header.in_ras(header.sizes)
        if spacing is not None and header.spacing is not None and len(sizes) == 3:
            sizes = sizes * header.in_ras(header.spacing) / np.asarray(spacing)
        found.append(sizes)
    return found


def label_values(paths: Iterable[str | Path]) -> set[int]:
    """Return the values that label files hold, by the rule of :func:`monai_hyperscale.io.read_label`."""
    found: set[int] = set()
    for path in paths:
        try:
            found |= set(label_counts(read_label(path)))
        except ImageError as error:
            raise DatasetError(str(error)) from error
    return found
