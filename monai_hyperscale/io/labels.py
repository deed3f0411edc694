"""Label maps on disk, and other images on an image's grid: NIfTI, or PNG for 2D image files."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Union

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.nifti1 import Nifti1Extensions

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.files import replacing
from monai_hyperscale.io.images import ImageSource, image_of, image_source, load_voxels, split_suffix
from monai_hyperscale.io.nifti import BY_HEADER, Placement
from monai_hyperscale.io.pictures import save_picture

logger = logging.getLogger(__name__)

LABEL_SUFFIXES = (".nii.gz", ".nii")

# How far a label may be off a whole number: what resampling and the scaling of headers leave of one.
_WHOLE = 1e-3

# Beyond it float64 does not hold every whole number.
_LARGEST = 2.0**53


def write_label(label: np.ndarray, path: Union[str, Path], like: Union[MetaTensor, ImageSource]) -> None:
    """Write a label map as NIfTI on the grid of its image, or as PNG for a 2D image file; whole or not at all.

    The geometry fields of a NIfTI image's header (sform, qform and their codes, voxel size, units) are kept to the last
    bit. Header extensions and free text are not: they may tell of the patient.

    Args:
        label: whole numbers of at least 0, of the shape of the image's grid.
        path: where to; ``.nii`` or ``.nii.gz``, or ``.png`` if the image is a 2D image file.
        like: the image as :func:`read_image` gave it, or its source.

    Raises:
        ImageError: if ``path`` has another suffix, or its format cannot hold the values.
        ValueError: if the label map's shape is not that of the image, or it holds anything but whole numbers ≥ 0.
    """
    source = image_source(like) if isinstance(like, MetaTensor) else like
    as_picture = _is_png(Path(path), source, "label maps of such images")
    if label.shape != source.shape:
        raise ValueError(f"the label map has shape {label.shape}, but its image {source.shape}.")
    if label.dtype.kind not in "bui" or label.min() < 0:
        raise ValueError(f"a label map holds whole numbers of at least 0, got {label.dtype} from {label.min()}.")
    label = label.astype(np.min_scalar_type(int(label.max())))
    if as_picture and label.dtype.itemsize > 2:
        raise ImageError(f"a PNG holds labels up to 65535, got {label.max()}.")
    with replacing(path) as temporary:
        if as_picture:
            save_picture(label, temporary)
        else:
            nib.save(_nifti_on(label, source), temporary)


def write_image(image: torch.Tensor, path: Union[str, Path], like: ImageSource) -> None:
    """Write grey values as NIfTI on the grid of another image, with its header's geometry; whole or not at all.

    Args:
        image: (C, *sizes), where sizes have as many voxels as the grid of ``like``, else a ``ValueError``.
        path: where to, else an :class:`ImageError`: ``.nii`` or ``.nii.gz``, float32, channels as the fourth axis where
            there are several; ``.png`` where ``like`` is a 2D image file, rounded to 8 bit, or to 16 where one is above
            255.
        like: of the grid.

    Example:
        >>> import tempfile
        >>> source = ImageSource(Path("scan.nii"), (4, 3, 2), np.diag([2.0, 2.0, 5.0, 1.0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(torch.ones(1, 4, 3, 2), f"{folder}/moved.nii.gz", source)
        ...     nib.load(f"{folder}/moved.nii.gz").shape
        (4, 3, 2)
    """
    as_picture = _is_png(Path(path), like, "such images")
    voxels = np.asarray(image, dtype=np.float32)
    if voxels[0].size != np.prod(like.shape):
        raise ValueError(f"the image has shape {voxels.shape[1:]}, but its grid {like.shape}.")
    voxels = voxels.reshape(len(voxels), *like.shape)
    several = len(voxels) > 1
    with replacing(path) as temporary:
        if as_picture:
            wide = not several and voxels.max() > 255
            pixels = np.rint(voxels).clip(0, 65535 if wide else 255).astype(np.uint16 if wide else np.uint8)
            save_picture(pixels if several else pixels[0], temporary)
        else:
            channels_last = np.moveaxis(voxels.reshape(*voxels.shape, *[1] * (3 - len(like.shape))), 0, -1)
            nib.save(_nifti_on(channels_last if several else voxels[0], like), temporary)


def _is_png(path: Path, source: ImageSource, what: str) -> bool:
    known = (*LABEL_SUFFIXES, ".png") if source.is_picture else LABEL_SUFFIXES
    suffix = split_suffix(path)[1]
    if suffix not in known:
        raise ImageError(f"{what} are written as {' or '.join(known)}, got {path.name}.")
    return suffix == ".png"


def read_label(path: Union[str, Path]) -> np.ndarray:
    """Read a label map as whole numbers in the file's own type, of the shape of its grid.

    Values off a whole number by no more than 0.001 count as that number (int64); what is not finite as background, 0.
    An :class:`ImageError` if it cannot be read, see :func:`read_image`, or holds other values.
    """
    voxels, source, _ = load_voxels(Path(path), labels=True)
    return whole_numbers(voxels[0], str(source.path))


def read_label_image(path: Union[str, Path], placement: Placement = BY_HEADER) -> MetaTensor:
    """Read a label map with its affine, as :func:`read_image`, which tells of the arguments, and :func:`read_label` do.

    Returns:
        (1, *sizes) in the smallest of torch's common types of integers that holds the file's own; an
        :class:`ImageError` if it cannot be read, or holds anything but whole numbers of at least 0.
    """
    voxels, source, _ = load_voxels(Path(path), placement=placement, labels=True)
    unknown = 0 if voxels.dtype.kind != "f" else int((~np.isfinite(voxels)).sum())
    if unknown:
        logger.warning("%s has %d voxels that are NaN or infinite; they count as label 0.", path, unknown)
    label = torch_integers(whole_numbers(voxels, str(path)), str(path))
    if label.min() < 0:
        raise ImageError(f"{path} holds {label.min()}; a label map holds whole numbers of at least 0.")
    return image_of(label, source)


def whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Return label values as whole numbers, NaN as 0: as they are, or rounded by no more than 0.001, int64."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "ui":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    rounded = np.rint(values)
    off = (np.abs(values - rounded) > _WHOLE) | (np.abs(rounded) > _LARGEST)
    if off.any():
        raise ImageError(
            f"{name} holds {values[off][0]}; a label file needs whole numbers, so threshold it or resample it with "
            "nearest neighbour."
        )
    return rounded.astype(np.int64)


def torch_integers(label: np.ndarray, name: str) -> np.ndarray:
    """Return whole numbers in a type that torch computes with: unsigned ones of more than a byte in the next larger."""
    if label.dtype.kind == "u" and label.dtype.itemsize == 8 and label.max() >= 2**63:
        raise ImageError(f"{name} holds {label.max()}; labels are numbers below 2^63, so give it smaller ones.")
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}
    return label.astype(wider.get(label.dtype.name, label.dtype), copy=False)


def table_beside(path: Union[str, Path]) -> dict[int, str]:
    """Return the name of every value of a label map, from its table ``NAME.tsv`` (BIDS); empty where there is none."""
    table = Path(path).with_name(split_suffix(path)[0] + ".tsv")
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            return {int(row["index"]): row["name"].strip() for row in csv.DictReader(lines, delimiter="\t")}
    except (AttributeError, KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        columns = "columns index and name, with tabs between"
        raise ImageError(
            f"{table} is no table of label names ({columns}): {error!r}; correct it or move it away."
        ) from error


def _nifti_on(voxels: np.ndarray, source: ImageSource) -> nib.Nifti1Image:
    if source.header is not None:
        header = source.header.as_byteswapped("<")
        header.extensions = Nifti1Extensions()
        header.set_data_dtype(voxels.dtype)
        header.set_slope_inter(None, None)
        header.set_intent("none", name="")
        # The display window of the image would hide the labels.
        for field, empty in {"cal_max": 0, "cal_min": 0, "descrip": b"", "aux_file": b"", "db_name": b""}.items():
            if field in header:
                header[field] = empty
        # Without an affine nibabel leaves the header's own as it is.
        return (nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image)(voxels, None, header)
    cls = nib.Nifti1Image if max(voxels.shape) < 2**15 else nib.Nifti2Image
    image = cls(voxels, source.affine, dtype=voxels.dtype)  # 64 bit too, which nibabel wants said
    image.set_sform(source.affine, code="scanner")
    axes = source.affine[:3, :3] / np.linalg.norm(source.affine[:3, :3], axis=0)
    if np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):  # a qform cannot hold shears
        image.set_qform(source.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    return image
