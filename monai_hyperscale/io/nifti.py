"""NIfTI and MGH files through nibabel, read to the last byte so that damage shows, and where headers lay voxels."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np

from monai_hyperscale.errors import ImageError, first_line
from monai_hyperscale.io.grids import apart

NIFTI_SUFFIXES = (".nii.gz", ".nii")
NIBABEL_SUFFIXES = (*NIFTI_SUFFIXES, ".mgz", ".mgh")

# zlib and deflate cannot compress by more than this; a header that claims more voxels is not of this file.
_GREATEST_COMPRESSION = 1032

# Where an MGH header says whether its orientation counts.
_MGH_FLAG = slice(28, 30)

# Voxels that are scaled at once.
_SLAB = 2**22

#: The two affines of a NIfTI header.
_FORMS = ("sform", "qform")

# Millimetres of NIfTI's units of length, by their code; code 2 is the millimetre, 0 and all others do not tell.
_MILLIMETRES = {1: 1000.0, 3: 0.001}
_UNIT_BITS = 7

# Distance between a voxel's places by sform and qform, in voxels, beyond what rounding in headers makes.
_APART = 0.2


@dataclass(frozen=True)
class Placement:
    """What to go by where the headers of files leave a choice; a ``ValueError`` for a value that is none.

    Args:
        header: ``sform`` or ``qform``, for NIfTI files whose two forms disagree; ``None`` takes the sform, as nibabel
            does, with a warning.
        orientation: where the axes of files point whose headers do not tell, such as ``RAS`` or ``LPS``; ``None`` takes
            what the format's reader assumes, with a warning.
        as_options: whether warnings name the options of the command line that make another choice.
    """

    header: Optional[str] = None
    orientation: Optional[str] = None
    as_options: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.header not in (None, *_FORMS):
            raise ValueError(f"header is {' or '.join(_FORMS)}, got {self.header!r}.")
        if self.orientation is not None and sorted("LRPAIS".find(axis) // 2 for axis in self.orientation) != [0, 1, 2]:
            wanted = "three letters, one each of R or L, A or P, S or I, such as RAS"
            raise ValueError(f"orientation is {wanted}; got {self.orientation!r}.")


#: What the headers say, and what readers assume where they do not.
BY_HEADER = Placement()


def nifti_affine(header: Any, placement: Placement) -> tuple[np.ndarray, str]:
    """Return the affine of a NIfTI header, (4, 4) in RAS millimetres, and a note to follow the file's name."""
    forms = {"sform": header.get_sform(coded=True), "qform": _qform(header)}
    known = {name: (affine, code) for name, (affine, code) in forms.items() if affine is not None}
    note = ""
    if not known:
        affine, note = without_orientation(header.get_base_affine(), header.get_data_shape(), placement)
    elif len(known) == 1:
        ((affine, _),) = known.values()
    else:
        chosen = placement.header or "sform"
        affine = known[chosen][0]
        distance = apart(known["sform"][0], known["qform"][0], header.get_data_shape())
        if placement.header is None and distance > _APART:
            sform, qform = (f"the {name} (code {code})" for name, (_, code) in known.items())
            other = "--header qform takes the other" if placement.as_options else "correct the header if it is wrong"
            note = (
                f"lies in two places, up to {distance:.3g} voxels apart, by {sform} and {qform} of its header; the "
                f"sform counts here, {other}."
            )
    affine = np.array(affine, dtype=np.float64)
    affine[:3] *= _MILLIMETRES.get(int(header["xyzt_units"]) & _UNIT_BITS, 1.0)
    return affine, note


def _qform(header: Any) -> tuple[Optional[np.ndarray], int]:
    try:
        return header.get_qform(coded=True)
    except (ValueError, nib.spatialimages.HeaderDataError):
        # A quaternion that is none. It does no harm where there is an sform.
        if header.get_sform(coded=True)[0] is None:
            raise
        return None, 0


def without_orientation(assumed: np.ndarray, sizes: Sequence[int], placement: Placement) -> tuple[np.ndarray, str]:
    """Return the affine of a file without orientation, its reader's (``assumed``) or the placement's, and a note."""
    if placement.orientation is not None:
        return oriented_affine(placement.orientation, np.linalg.norm(assumed[:3, :3], axis=0), sizes), ""
    codes = "".join(nib.aff2axcodes(assumed))
    better = "say so with --orientation, such as --orientation RAS" if placement.as_options else "correct the header"
    return assumed, (
        f"has no orientation in its header; its axes are taken to point to {codes}, which may be wrong. If you know "
        f"better, {better}."
    )


def oriented_affine(orientation: str, spacing: Sequence[float], sizes: Sequence[int]) -> np.ndarray:
    """Return the affine, (4, 4) in RAS, of voxels around the origin whose axes point to letters such as ``LPS``."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(nib.orientations.axcodes2ornt(tuple(orientation))):
        affine[int(world), axis] = sign * spacing[axis]
    middle = (np.asarray([*sizes, 1, 1, 1][:3], dtype=float) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle + 0.0  # no -0.0
    return affine


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
            with _opened(path) as file:  # nibabel forgets that the flag was not set
                oriented = file.read(_MGH_FLAG.stop)[_MGH_FLAG] != b"\0\0"
            if not oriented:
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
