"""What a data-set file is, told from its header alone: size, channels, affine. And which values a label file holds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.io.grids import is_invertible
from monai_hyperscale.io.labels import read_label
from monai_hyperscale.io.nifti import load_nifti_header
from monai_hyperscale.io.pictures import GREY_MODES
from monai_hyperscale.io.seen import SeenImages

__all__ = [
    "IMAGE_SUFFIXES",
    "VOLUME_SUFFIXES",
    "FileHeader",
    "file_stem",
    "file_suffix",
    "label_counts",
    "read_header",
    "seen_images",
]

VOLUME_SUFFIXES = (".nii.gz", ".nii")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


@dataclass(frozen=True)
class FileHeader:
    """Size and geometry of one file.

    Attributes:
        sizes: voxels per axis, in the order in which MONAI loads them ((width, height) for 2D image files).
        channels: channels that the file holds.
        affine: (4, 4), voxel indices to RAS millimetres; ``None`` for 2D image files.
        mode: PIL's mode of a 2D image file, such as ``RGB`` or ``L``; ``""`` for NIfTI.
        note: what a user should know about the affine, to follow the file's name; mostly ``""``.
    """

    sizes: tuple[int, ...]
    channels: int
    affine: np.ndarray | None = None
    mode: str = ""
    note: str = ""

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size in mm, or ``None`` for 2D image files."""
        if self.affine is None:
            return None
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0)[: len(self.sizes)])


def file_suffix(path: str | os.PathLike) -> str:
    """Return the known suffix of a file in lower case, ``.nii.gz`` as one; ``""`` if it is not one of ours.

    Example:
        >>> file_suffix("a.b/Scan_0000.NII.gz"), file_suffix("notes.txt")
        ('.nii.gz', '')
    """
    name = Path(path).name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES + IMAGE_SUFFIXES if name.endswith(suffix)), "")


def file_stem(path: str | os.PathLike) -> str:
    """Return the file name without its known suffix.

    Example:
        >>> file_stem("imagesTr/case.01.nii.gz")
        'case.01'
    """
    name = Path(path).name
    suffix = file_suffix(path)
    return name[: -len(suffix)] if suffix else name


def read_header(path: str | Path) -> FileHeader:
    """Read the header of a NIfTI or 2D image file.

    Args:
        path: the file.

    Raises:
        DatasetError: if it is missing, damaged, or not a scalar or colour image of a kind that can be used.

    Example:
        >>> read_header("scan.nii.gz")
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.DatasetError: scan.nii.gz does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path} does not exist.")
    suffix = file_suffix(path)
    if suffix in VOLUME_SUFFIXES:
        return _volume_header(path)
    if suffix in IMAGE_SUFFIXES:
        return _image_header(path)
    known = ", ".join(VOLUME_SUFFIXES + IMAGE_SUFFIXES)
    raise DatasetError(f"{path} is not of a known kind ({known}); convert it first.")


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
            return FileHeader(image.size, 1 if image.mode in GREY_MODES else 3, None, image.mode)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read as an image ({error}); replace the file.") from error


def seen_images(cases: Iterable[Mapping[str, Any]]) -> SeenImages:
    """Return what the images of a data list are like in space, from their headers.

    Args:
        cases: with a file, or one file per channel, as ``image``.

    Raises:
        DatasetError: if a file cannot be read.
    """
    files = (case["image"] for case in cases)
    headers = (read_header(file if isinstance(file, (str, Path)) else file[0]) for file in files)
    return SeenImages.of((header.sizes, header.affine) for header in headers)


def label_counts(paths: Iterable[str | Path]) -> Counter[int]:
    """Count the voxels of each value over label files.

    By the rule of :func:`monai_hyperscale.io.read_label`.

    Args:
        paths: label files, NIfTI or 2D images.

    Raises:
        DatasetError: if a file cannot be read, or holds values that are not whole numbers or colours.
    """
    total: Counter[int] = Counter()
    for path in paths:
        voxels = _label_values(Path(path)).ravel()
        if voxels.min() >= 0 and voxels.max() < 2**16:
            # Much faster than sorting, and nearly all label files are of this kind.
            counts = np.bincount(voxels)
            values = np.flatnonzero(counts)
            counts = counts[values]
        else:
            values, counts = np.unique(voxels, return_counts=True)
        total.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return total


def _label_values(path: Path) -> np.ndarray:
    try:
        return read_label(path)
    except ImageError as error:
        raise DatasetError(str(error)) from error
