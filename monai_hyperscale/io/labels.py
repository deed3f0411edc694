"""Label maps on disk: NIfTI on the grid of the image they belong to, PNG for 2D image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Union

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from nibabel.nifti1 import Nifti1Extensions

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.io.images import ImageSource, image_source, read_image, split_suffix
from monai_hyperscale.io.pictures import save_picture

__all__ = ["LABEL_SUFFIXES", "nifti_on", "read_label", "read_label_image", "write_label"]

LABEL_SUFFIXES = (".nii.gz", ".nii")


def write_label(label: np.ndarray, path: Union[str, Path], like: Union[MetaTensor, ImageSource]) -> None:
    """Write a label map as NIfTI on the grid of its image, or as PNG for a 2D image file; whole or not at all.

    For a NIfTI image the geometry fields of its header are kept as they are (sform, qform and their codes, voxel
    size, units), so the affine is equal to the last bit. Header extensions and free text are not: they may tell of
    the patient.

    Args:
        label: whole numbers of at least 0, of the shape of the image's grid.
        path: where to; ``.nii`` or ``.nii.gz``, or ``.png`` if the image is a 2D image file.
        like: the image as :func:`read_image` gave it, or its source.

    Raises:
        ImageError: if ``path`` has another suffix, or its format cannot hold the values.
        ValueError: if the label map's shape is not that of the image, or it holds anything but whole numbers ≥ 0.
    """
    path = Path(path)
    source = image_source(like) if isinstance(like, MetaTensor) else like
    known = (*LABEL_SUFFIXES, ".png") if source.is_picture else LABEL_SUFFIXES
    if split_suffix(path)[1] not in known:
        raise ImageError(f"label maps of such images are written as {' or '.join(known)}, got {path.name}.")
    if label.shape != source.shape:
        raise ValueError(f"the label map has shape {label.shape}, but its image {source.shape}.")
    if label.dtype.kind not in "bui" or label.min() < 0:
        raise ValueError(f"a label map holds whole numbers of at least 0, got {label.dtype} from {label.min()}.")
    label = label.astype(np.min_scalar_type(int(label.max())))
    with replacing(path) as temporary:
        if split_suffix(path)[1] == ".png":
            save_picture(label, temporary)
        else:
            nib.save(nifti_on(label, source), temporary)


def read_label(path: Union[str, Path]) -> np.ndarray:
    """Read a label map back as whole numbers, of the shape of its grid.

    Raises:
        ImageError: if it cannot be read, see :func:`read_image`.
    """
    return np.rint(read_image(path)[0].numpy()).astype(np.int64)


def read_label_image(path: Union[str, Path]) -> MetaTensor:
    """Read a label map with its affine, as :func:`read_image` reads images.

    Raises:
        ImageError: if it cannot be read, or holds anything but whole numbers of at least 0.
    """
    label = read_image(path, only_finite=True)
    if float(label.min()) < 0 or not bool((label == label.round()).all()):
        raise ImageError(f"{path} is no label map: it holds more than whole numbers of at least 0.")
    return label


def nifti_on(voxels: np.ndarray, source: ImageSource) -> nib.Nifti1Image:
    """Return voxels as a NIfTI image on another image's grid, see :func:`write_label` for what its header keeps.

    Args:
        voxels: of the grid's shape, or with a channel axis after three axes.
        source: of the grid.
    """
    return _new_nifti(voxels, source.affine) if source.header is None else _like_nifti(voxels, source.header)


def _like_nifti(label: np.ndarray, header: Any) -> nib.Nifti1Image:
    header = header.as_byteswapped("<")
    header.extensions = Nifti1Extensions()
    header.set_data_dtype(label.dtype)
    header.set_slope_inter(None, None)
    header.set_intent("none", name="")
    for field in ("cal_max", "cal_min"):
        header[field] = 0  # the display window of the image would hide the labels
    for field in ("descrip", "aux_file", "db_name"):
        if field in header:
            header[field] = b""
    cls = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    # Without an affine nibabel leaves the header's own as it is.
    return cls(label, None, header)


def _new_nifti(label: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    cls = nib.Nifti1Image if max(label.shape) < 2**15 else nib.Nifti2Image
    image = cls(label, affine)
    image.set_sform(affine, code="scanner")
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):  # a qform cannot hold shears
        image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    return image
