"""MetaImage and NRRD files through SimpleITK, their data checked first where ITK would go on with damaged voxels."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Union

import numpy as np
import SimpleITK as sitk

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.grids import RAS_LPS, apart
from monai_hyperscale.io.nifti import BY_HEADER, Placement, without_orientation

ITK_SUFFIXES = (".mha", ".mhd", ".nrrd")

# More than any header of these formats has; keeps a file without line ends from being read whole as one.
_LONGEST_HEADER = 2**16


def load_itk(
    path: Path, placement: Placement = BY_HEADER, labels: bool = False
) -> tuple[np.ndarray, np.ndarray, None, str]:
    """Return voxels (x, y, z), components last, the affine (4, 4) in RAS, no header, and a note on the affine.

    float32, or for ``labels`` the file's own type. An :class:`ImageError` if damaged, or of voxels in another folder.
    """
    try:
        oriented = (_check_nrrd if path.suffix.lower() == ".nrrd" else _check_metaimage)(path)
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}).") from error
    with _silent():
        try:
            image = sitk.ReadImage(os.fspath(path))
        except RuntimeError as error:
            # SimpleITK's message is several lines of source locations; the last is the reason.
            reason = str(error).strip().rpartition("\n")[2].strip().removeprefix("sitk::ERROR: ").rstrip(".")
            raise ImageError(f"{path} cannot be read, or is damaged ({reason or 'no reason given'}).") from error
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise ImageError(f"{path} has complex voxels; real numbers are needed, so convert it first.")
    # SimpleITK's arrays are (z, y, x), with components last.
    voxels = sitk.GetArrayViewFromImage(image)
    spatial = tuple(reversed(range(image.GetDimension())))
    axes = spatial + ((voxels.ndim - 1,) if voxels.ndim > len(spatial) else ())
    with np.errstate(over="ignore", invalid="ignore"):
        voxels = voxels.transpose(axes).astype(voxels.dtype if labels else np.float32)
    if voxels.ndim == 3 and image.GetDimension() == 2:
        voxels = voxels[:, :, None, :]
    affine, note = _affine(image), ""
    if not oriented:
        affine, note = without_orientation(affine, image.GetSize(), placement)
    return voxels, affine, None, note


def itk_affine(path: Path, affine: np.ndarray) -> np.ndarray:
    """Return where ITK lays a file, (4, 4) in RAS: elsewhere than ``affine`` where a NIfTI header leaves a choice.

    To a thousandth of a voxel the same, or of a file that ITK cannot read, it is ``affine`` itself.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    with _silent():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return affine
    theirs = _affine(reader)
    if reader.GetDimension() == 2:
        theirs[2], theirs[:, 2] = affine[2], affine[:, 2]
    return affine if apart(affine, theirs, reader.GetSize()) < 1e-3 else theirs


@contextmanager
def _silent() -> Iterator[None]:
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _affine(image: Union[sitk.Image, sitk.ImageFileReader]) -> np.ndarray:
    n = image.GetDimension()
    r = min(n, 3)
    direction = np.asarray(image.GetDirection()).reshape(n, n)
    affine = np.eye(4)
    affine[:r, :r] = (direction * np.asarray(image.GetSpacing()))[:r, :r]
    affine[:r, 3] = image.GetOrigin()[:r]
    return RAS_LPS @ affine


def _check_metaimage(path: Path) -> bool:
    """Check the data, since ITK goes on with rubbish where it cannot uncompress; return whether it is oriented."""
    header, offset = _metaimage_header(path)
    oriented = any(key in header for key in ("TransformMatrix", "Rotation", "Orientation"))
    data = path
    if header["ElementDataFile"].upper() != "LOCAL":
        data, offset = _beside(path, header["ElementDataFile"]), 0
    if not _is_true(header.get("BinaryData", "True")):
        return oriented
    try:
        offset += max(0, int(header.get("HeaderSize", 0)))
        itemsize = _METAIMAGE_BYTES[header["ElementType"]] * int(header.get("ElementNumberOfChannels", 1))
        needed = math.prod(int(n) for n in header["DimSize"].split()) * itemsize
    except (KeyError, ValueError) as error:
        raise ImageError(f"{path} is not a MetaImage file that can be used (header: {error}).") from error
    if _is_true(header.get("CompressedData", "False")):
        found = _uncompressed_size(data, offset, needed)
    else:
        found = data.stat().st_size - offset
    if found < needed:
        raise ImageError(f"{path} is truncated or damaged: {found} bytes of {needed} are there; copy it again.")
    return oriented


def _metaimage_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the header's entries, and where the data begins if it is in the same file."""
    with open(path, "rb") as file:
        content = file.read(_LONGEST_HEADER)
    entries: dict[str, str] = {}
    offset = 0
    for line in content.split(b"\n"):
        offset += len(line) + 1
        key, _, value = line.decode("latin1").partition("=")
        entries[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":  # always the last
            return entries, offset
    raise ImageError(f"{path} is not a MetaImage file: its header names no ElementDataFile.")


def _is_true(value: str) -> bool:
    return value[:1] in ("T", "t", "1")


_METAIMAGE_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
    # ITK reads and writes "long" with four bytes, whatever the machine.
    **dict.fromkeys(("MET_LONG", "MET_ULONG"), 4),
}


def _uncompressed_size(path: Path, offset: int, needed: int) -> int:
    stream = zlib.decompressobj(wbits=47)  # zlib or gzip, told from its start
    size = 0
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            while size <= needed and not stream.eof:  # on to the checksum at the end
                chunk = stream.unconsumed_tail or file.read(2**20)
                if not chunk:
                    break
                size += len(stream.decompress(chunk, 2**22))
        except zlib.error as error:
            raise ImageError(f"{path} is damaged ({error}); copy it again.") from error
    return size


def _check_nrrd(path: Path) -> bool:
    """Check the header; return whether it tells the orientation."""
    with open(path, "rb") as file:
        header = file.read(_LONGEST_HEADER).split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("latin1")
    if not header.startswith("NRRD"):
        raise ImageError(f"{path} is no NRRD file, or its beginning is damaged; copy it again or convert it.")
    lines = [line.partition(":") for line in header.splitlines()]
    fields = {key.strip().lower().replace(" ", ""): value.strip() for key, _, value in lines}
    if "datafile" in fields:
        _beside(path, fields["datafile"])
    return "spacedirections" in fields


def _beside(path: Path, name: str) -> Path:
    """Return the data file that a header names; it must lie beside the header, so that no header reads any file."""
    data = path.parent / name
    if not name or Path(name).name != name or "%" in name or name.upper() == "LIST":
        raise ImageError(f"{path} takes its voxels from {name!r}; only one file in the same folder is read.")
    if not data.is_file():
        raise ImageError(f"{path} takes its voxels from {name}, which does not exist; copy both files.")
    return data
