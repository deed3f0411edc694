"""Resampled images on disk: NIfTI on the grid of the image they belong to, or a 2D image file."""

from __future__ import annotations

from pathlib import Path
from typing import Union

import nibabel as nib
import numpy as np
import torch
from PIL import Image

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.io.images import ImageSource, split_suffix
from monai_hyperscale.io.labels import LABEL_SUFFIXES, nifti_on

__all__ = ["write_image"]


def write_image(image: torch.Tensor, path: Union[str, Path], like: ImageSource) -> None:
    """Write grey values as NIfTI on the grid of another image, with its header's geometry; whole or not at all.

    Args:
        image: (C, *sizes), where sizes have as many voxels as the grid of ``like``.
        path: where to: ``.nii`` or ``.nii.gz``, float32, channels as the fourth axis where there are several; ``.png``
            where ``like`` is a 2D image file, then rounded to 8 bit, or to 16 where a value is above 255.
        like: of the grid.

    Raises:
        ImageError: if ``path`` has another suffix.
        ValueError: if the image does not have the grid's voxels.

    Example:
        >>> import tempfile
        >>> source = ImageSource(Path("scan.nii"), (4, 3, 2), np.diag([2.0, 2.0, 5.0, 1.0]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(torch.ones(1, 4, 3, 2), f"{folder}/moved.nii.gz", source)
        ...     nib.load(f"{folder}/moved.nii.gz").shape
        (4, 3, 2)
    """
    path = Path(path)
    suffix = split_suffix(path)[1]
    known = (*LABEL_SUFFIXES, ".png") if like.is_picture else LABEL_SUFFIXES
    if suffix not in known:
        raise ImageError(f"such images are written as {' or '.join(known)}, got {path.name}.")
    voxels = np.asarray(image, dtype=np.float32)
    if voxels[0].size != np.prod(like.shape):
        raise ValueError(f"the image has shape {voxels.shape[1:]}, but its grid {like.shape}.")
    voxels = voxels.reshape(len(voxels), *like.shape)
    with replacing(path) as temporary:
        if suffix == ".png":
            _save_picture(voxels, temporary)
        else:
            shaped = (
                voxels[0]
                if len(voxels) == 1
                else np.moveaxis(voxels.reshape(*voxels.shape, *[1] * (3 - len(like.shape))), 0, -1)
            )
            nib.save(nifti_on(shaped, like), temporary)


def _save_picture(pixels: np.ndarray, path: Path) -> None:
    wide = len(pixels) == 1 and pixels.max() > 255
    rounded = np.rint(pixels).clip(0, 65535 if wide else 255).astype(np.uint16 if wide else np.uint8)
    turned = rounded.transpose(2, 1, 0)
    Image.fromarray(np.ascontiguousarray(turned[..., 0] if len(pixels) == 1 else turned)).save(path, format="PNG")
