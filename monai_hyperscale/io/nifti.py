"""NIfTI and MGH files through nibabel, read to the last byte so that damage shows."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np

from monai_hyperscale.errors import ImageError, first_line
from monai_hyperscale.io.placement import BY_HEADER, Placement, nifti_affine, without_orientation

__all__ = ["NIBABEL_SUFFIXES", "NIFTI_SUFFIXES", "load_nibabel", "load_nifti_header"]

NIFTI_SUFFIXES = (".nii.gz", ".nii")
NIBABEL_SUFFIXES = (*NIFTI_SUFFIXES, ".mgz", ".mgh")

# zlib and deflate cannot compress by more than this; a header that claims more voxels is not of this file.
_GREATEST_COMPRESSION = 1032

# Where an MGH header says whether its orientation counts.
_MGH_FLAG = slice(28, 30)

# Voxels that are scaled at once.
_SLAB = 2**22


def load_nibabel(
    path: Path, placement: Placement = BY_HEADER, labels: bool = False
) -> tuple[np.ndarray, np.ndarray, Optional[Any], str]:
    """Return voxels in file order, the affine (4, 4) in RAS millimetres, the header of a NIfTI file, and a note.

    float32 with the scaling applied, or for ``labels`` the file's own type. Damaged files, and voxels that are not
    single real numbers, are an :class:`ImageError`.
    """
    with _blamed(path):
        with _opened(path) as file:
            image = _read(file, path)
        with np.errstate(over="ignore", invalid="ignore"):
            voxels = np.asanyarray(image.dataobj) if labels else _scaled(image)
        if not isinstance(image, nib.MGHImage):
            header = image.header
            affine, note = nifti_affine(header, placement)
        else:
            header, affine, note = None, np.array(image.affine, dtype=np.float64), ""
            if not _mgh_has_orientation(path):
                affine, note = without_orientation(affine, image.shape, placement)
    return voxels, affine, header, note


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Blame a file for whatever nibabel's parser raises: it has no common class."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{path} is truncated or damaged ({first_line(error)}); copy it again.") from error


def _mgh_has_orientation(path: Path) -> bool:
    # nibabel forgets that the flag was not set.
    with _opened(path) as file:
        return file.read(_MGH_FLAG.stop)[_MGH_FLAG] != b"\0\0"


def _scaled(image: Any) -> np.ndarray:
    """Return what ``get_fdata(dtype=np.float32)`` does, but some planes at a time: it scales in float64."""
    shape = image.shape
    if len(shape) < 2 or 0 in shape:
        return image.get_fdata(dtype=np.float32, caching="unchanged")
    voxels = np.empty(shape, np.float32, order="F")
    planes = max(1, _SLAB // math.prod(shape[:-1]))
    for first in range(0, shape[-1], planes):
        voxels[..., first : first + planes] = image.dataobj[..., first : first + planes]
    return voxels


def load_nifti_header(path: Path, placement: Placement = BY_HEADER) -> tuple[Any, np.ndarray, str]:
    """Return the header of a NIfTI file alone, with its affine and note, see :func:`nifti_affine`."""
    with _blamed(path), _opened(path) as file:
        header = _image_class(file, path).from_stream(file).header
        return header, *nifti_affine(header, placement)


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.name.lower().endswith((".gz", ".mgz")) else open(path, "rb")


def _read(file: Any, path: Path) -> Any:
    """Return the image in memory, with the file read to its end: nibabel stops before the checksum of a .gz file."""
    cls = _image_class(file, path)
    image = cls.from_stream(file)
    dtype = image.get_data_dtype()
    if dtype.fields is not None:
        names = "".join(dtype.names)
        raise ImageError(f"{path} has colour voxels ({names}); a grey image is needed, so convert it first.")
    if dtype.kind not in "buif":
        raise ImageError(f"{path} has voxels of type {dtype}; real numbers are needed, so convert it first.")
    needed = image.dataobj.offset + math.prod(int(n) for n in image.shape) * dtype.itemsize
    if needed > path.stat().st_size * (_GREATEST_COMPRESSION if isinstance(file, gzip.GzipFile) else 1):
        raise ImageError(f"{path} is truncated: its header tells of {needed} bytes, but the file is too short.")
    file.seek(0)
    content = file.read(needed)
    if len(content) < needed:
        raise ImageError(f"{path} is truncated: {len(content)} bytes of {needed} are there; copy it again.")
    while file.read(2**20):
        pass
    return cls.from_bytes(content)


def _image_class(file: Any, path: Path) -> Any:
    start = file.read(nib.Nifti2Header.sizeof_hdr)
    file.seek(0)
    if path.suffix.lower() in (".mgz", ".mgh"):
        return nib.MGHImage
    for image_class in (nib.Nifti1Image, nib.Nifti2Image):
        if image_class.header_class.may_contain_header(start):
            return image_class
    raise ImageError(f"{path} is no NIfTI file, or its beginning is damaged; copy it again or convert it.")
