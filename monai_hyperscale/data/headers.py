"""What a data-set file is, told from its header alone: size, channels, affine. And which values a label file holds."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from PIL import Image, UnidentifiedImageError

from monai_hyperscale.errors import DatasetError

__all__ = ["IMAGE_SUFFIXES", "VOLUME_SUFFIXES", "FileHeader", "file_stem", "file_suffix", "label_counts", "read_header"]

VOLUME_SUFFIXES = (".nii.gz", ".nii")
IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")

# Modes of PIL that hold one value per pixel; all others are colour, some with an alpha channel.
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True)
class FileHeader:
    """Size and geometry of one file.

    Attributes:
        sizes: voxels per axis, in the order in which MONAI loads them ((width, height) for 2D image files).
        channels: channels that the file holds.
        affine: (4, 4), voxel indices to RAS millimetres; ``None`` for 2D image files.
        mode: PIL's mode of a 2D image file, such as ``RGB`` or ``L``; ``""`` for NIfTI.
    """

    sizes: tuple[int, ...]
    channels: int
    affine: np.ndarray | None = None
    mode: str = ""

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
        image: Any = nib.load(path)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as NIfTI ({error}); replace the file.") from error
    shape = tuple(int(n) for n in image.shape)
    if image.get_data_dtype().fields is not None or np.issubdtype(image.get_data_dtype(), np.complexfloating):
        raise DatasetError(
            f"{path} holds {image.get_data_dtype()} voxels; scalar voxels are needed, so split it first."
        )
    if len(shape) not in (2, 3, 4) or min(shape) < 1:
        raise DatasetError(f"{path} has shape {shape}; 2 or 3 axes, and a last one for channels, are needed.")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
        raise DatasetError(f"{path} has an affine that cannot be inverted; repair its sform or qform.")
    return FileHeader(shape[:3], shape[3] if len(shape) == 4 else 1, affine)


def _image_header(path: Path) -> FileHeader:
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames != 1:
                raise DatasetError(f"{path} holds {frames} pages; one image per file is needed, so split it first.")
            return FileHeader(image.size, 1 if image.mode in GREY_MODES else 3, None, image.mode)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read as an image ({error}); replace the file.") from error


def label_counts(paths: Iterable[str | Path]) -> Counter[int]:
    """Count the voxels of each value over label files.

    Palette images count by palette index. Values off a whole number by less than 1e-3 are rounded; NaN counts as 0.

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
    header = read_header(path)
    if header.affine is None:
        if file_suffix(path) in (".jpg", ".jpeg"):
            raise DatasetError(f"{path} is a JPEG, whose compression changes label values; store labels as PNG.")
        with Image.open(path) as image:
            values = np.asarray(image) if image.mode == "P" else np.asarray(single_channel(image, str(path)))
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                values = np.asanyarray(nib.load(path).dataobj)  # type: ignore[attr-defined]
        except (OSError, EOFError, ValueError) as error:
            raise DatasetError(f"{path} is damaged ({error}); replace the file.") from error
    return whole_numbers(values, str(path))


def single_channel(image: Image.Image, name: str) -> Image.Image:
    """Return a grey or palette image as it is, a colour image with equal channels as one of them.

    Raises:
        DatasetError: if the channels differ, so that values are colours and not labels.
    """
    if image.mode in ("LA", "La", "PA"):
        return image.getchannel(0)
    if image.mode in GREY_MODES or image.mode == "P":
        return image
    first, *others = image.convert("RGB").split()
    if any(np.any(np.asarray(first) != np.asarray(other)) for other in others):
        raise DatasetError(f"{name} holds colours; a label file needs one whole number per pixel, so convert it first.")
    return first


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return label values as int64, NaN as 0.

    Raises:
        DatasetError: if a value is off a whole number by more than 1e-3.
    """
    if values.dtype == bool:
        return values.astype(np.uint8)
    if np.issubdtype(values.dtype, np.integer):
        return values
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    rounded = np.rint(values)
    off = np.abs(values - rounded) > 1e-3
    if off.any():
        raise DatasetError(
            f"{name} holds {float(values[off][0]):g}; a label file needs whole numbers, so threshold it or resample it "
            "with nearest neighbour."
        )
    return rounded.astype(np.int64)
