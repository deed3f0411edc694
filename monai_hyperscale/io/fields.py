"""Displacement fields on disk, in ITK's convention: the border between voxels in memory and millimetres in files."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Optional, Union

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from monai_hyperscale.errors import ImageError, RegistrationError
from monai_hyperscale.io.files import replacing
from monai_hyperscale.io.grids import RAS_LPS, Grid, is_invertible, itk_image, reduced
from monai_hyperscale.io.images import ImageSource, check_file, split_suffix
from monai_hyperscale.io.itk import itk_affine, load_itk
from monai_hyperscale.io.nifti import NIFTI_SUFFIXES, load_nibabel

logger = logging.getLogger(__name__)

#: What :func:`write_field` writes and :func:`read_field` reads.
FIELD_SUFFIXES = (*NIFTI_SUFFIXES, ".mha", ".nrrd")

# NIfTI's intents: vectors, whose components ITK takes as they are, and displacements, which it takes for RAS.
_VECTOR, _DISPLACEMENT = 1007, 1006

# Shear, as a cosine between axes, that ITK still takes for rounding.
_MOST_SHEAR = 2e-4

# Tools mark voxels of which they know no displacement by the greatest float32. They count as this many voxels:
# outside every image, and still a number to compute with.
_UNKNOWN, _FAR = 1e30, 1e6


def to_world(
    field: torch.Tensor, affine: Union[np.ndarray, torch.Tensor], prealignment: Optional[np.ndarray] = None
) -> torch.Tensor:
    """Turn displacements in voxels into ITK's: millimetres in LPS between physical points.

    A :class:`RegistrationError` for another shape, an affine without inverse, or a 2D grid not in the plane of x and y.

    Args:
        field: (D, *sizes), voxels of the fixed image's grid, D = 2 or 3.
        affine: (4, 4), from voxel indices of the fixed image to millimetres, RAS. Of a 2D grid x and y count.
        prealignment: (4, 4), from physical points of the fixed image to those of the moving one, RAS, where the field
            was found for a moving image that had been resampled by it. The result then does both.

    Returns:
        (D, *sizes), float64: at voxel x, ``prealignment(affine(x + field(x))) - affine(x)``.

    Example:
        >>> to_world(torch.ones(3, 1, 1, 1), np.diag([2.0, 2.0, 5.0, 1.0])).flatten()
        tensor([-2., -2.,  5.], dtype=torch.float64)
    """
    fixed = _lps(affine, _dims(field))
    total = fixed if prealignment is None else reduced(RAS_LPS @ prealignment @ RAS_LPS, _dims(field)) @ fixed
    ticks = [torch.arange(n, dtype=torch.float64, device=field.device) for n in field.shape[1:]]
    points, moved = torch.stack(torch.meshgrid(*ticks, indexing="ij")), total - fixed
    offset = torch.as_tensor(moved[:-1, -1], device=field.device).view(-1, *[1] * len(ticks))
    return _linear_part(moved, points) + offset + _linear_part(total, field)


def to_voxels(vectors: torch.Tensor, affine: Union[np.ndarray, torch.Tensor]) -> torch.Tensor:
    """Turn ITK's displacements into voxels of the fixed image's grid, float64: undoes :func:`to_world`.

    Args:
        vectors: (D, *sizes), millimetres in LPS; a pre-alignment is part of them.
        affine: (4, 4), of the fixed image's grid, RAS. Errors are those of :func:`to_world`.

    Example:
        >>> to_voxels(torch.ones(3, 1, 1, 1), np.diag([2.0, 2.0, 5.0, 1.0])).flatten()
        tensor([-0.5000, -0.5000,  0.2000], dtype=torch.float64)
    """
    return _linear_part(np.linalg.inv(_lps(affine, _dims(vectors))), vectors)


def grid_affine(source: ImageSource) -> np.ndarray:
    """Return the affine, (4, 4) in RAS, of a file's grid as ITK places it: fields for SimpleITK are written with it.

    ITK takes pixels of 2D image files for millimetres in LPS, and may differ where a header leaves a choice, see
    :class:`Placement`; else it is the source's own.

    Example:
        >>> grid_affine(ImageSource(Path("a.png"), (5, 4), np.eye(4))).diagonal()
        array([-1., -1.,  1.,  1.])
    """
    if source.is_picture:
        return RAS_LPS @ source.affine
    return itk_affine(source.path, source.affine) if source.is_file else source.affine


def to_itk(source: ImageSource) -> np.ndarray:
    """Return the matrix, (4, 4) in RAS, from where a volume's points lie here to where ITK has them."""
    theirs = source.affine if source.is_picture else grid_affine(source)
    # Exactly the identity where nothing differs.
    return np.eye(4) if theirs is source.affine else theirs @ np.linalg.inv(source.affine)


def write_field(
    field: torch.Tensor,
    path: Union[str, Path],
    affine: Union[np.ndarray, torch.Tensor],
    prealignment: Optional[np.ndarray] = None,
) -> None:
    """Write a displacement field for ITK, SimpleITK and ANTs to resample the moving image with; whole or not at all.

    In SimpleITK: ``sitk.DisplacementFieldTransform(sitk.ReadImage(path, sitk.sitkVectorFloat64))``.

    Args:
        field: (D, *sizes), voxels of the fixed image's grid.
        path: where to: ``.nii.gz`` or ``.nii`` (intent "vector"), ``.mha`` or ``.nrrd``.
        affine: (4, 4), of the fixed image's grid, RAS; see :func:`grid_affine`.
        prealignment: goes into the file's field, see :func:`to_world`.

    Raises:
        RegistrationError: if the field is not (D, *sizes) or not finite, or the grid is sheared or a 2D one outside the
            plane of x and y, which ITK's images cannot be.
        ImageError: if ``path`` has another suffix or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_field(torch.ones(3, 4, 5, 6), f"{folder}/field.nii.gz", np.diag([2.0, 2.0, 5.0, 1.0]))
        ...     read_field(f"{folder}/field.nii.gz")[:, 1, 2, 3].as_tensor()
        tensor([1., 1., 1.])
    """
    path = Path(path)
    _check_suffix(path, "written")
    vectors = to_world(field, affine, prealignment).to("cpu", torch.float32)
    grid = Grid(tuple(field.shape[1:]), np.asarray(affine, dtype=np.float64))
    direction = grid.matrix[:-1, :-1] / grid.spacing
    shear = np.abs(direction.T @ direction - np.eye(grid.dims)).max()
    if shear > _MOST_SHEAR:
        raise RegistrationError(
            f"the grid's axes are not at right angles (cosine {shear:.2g}), which ITK's fields cannot hold; "
            "resample it to a grid without shear first."
        )
    if not bool(torch.isfinite(vectors).all()):
        raise RegistrationError("the field holds NaN or infinite displacements, which are not written.")
    image = itk_image(vectors, grid)
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, os.fspath(temporary), useCompression=True)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].rstrip(".")
            raise ImageError(f"{path} cannot be written ({reason}).") from error


def read_field(path: Union[str, Path]) -> MetaTensor:
    """Read a displacement field in ITK's convention, as :func:`write_field`, ITK and ANTs write it.

    Vectors of NIfTI's intent "displacement vector" count as RAS, as in ITK, all others as LPS. Voxels marked by the
    greatest float32 get a displacement that leads out of every image, with a warning in the log.

    Returns:
        float32 (D, *sizes), voxels of its own grid, with the affine (4, 4) in RAS.

    Raises:
        ImageError: if the file cannot be read, is damaged, or holds no displacements.
        RegistrationError: if the grid is a 2D one outside the plane of x and y.
    """
    path = Path(path)
    check_file(path)
    suffix = _check_suffix(path, "read")
    try:
        if suffix in NIFTI_SUFFIXES:
            voxels, affine, header, _ = load_nibabel(path)
            affine = itk_affine(path, affine)
            voxels = voxels[..., 0, :] if voxels.ndim == 5 and voxels.shape[3] == 1 else voxels
        else:
            voxels, affine, header, _ = load_itk(path)
        intent = _VECTOR if header is None else int(header["intent_code"])
        if voxels.ndim != 4 or voxels.shape[3] not in (2, 3) or intent not in (_VECTOR, _DISPLACEMENT):
            found = f"shape {'x'.join(map(str, voxels.shape))}" + ("" if header is None else f", intent {intent}")
            raise ImageError(
                f"{path} holds no displacement field in ITK's convention (vectors of 2 or 3 components, in NIfTI with "
                f"intent 1007): {found}; convert it first."
            )
        if voxels.shape[3] == 2 and voxels.shape[2] != 1:
            raise ImageError(f"{path} has vectors of 2 components in a volume; a 2D field has one slice.")
        if 0 in voxels.shape:
            raise ImageError(f"{path} has no voxels; export it again.")
        if not np.isfinite(voxels).all():
            raise ImageError(f"{path} holds displacements that are NaN or infinite; compute the field again.")
        voxels = voxels[:, :, 0] if voxels.shape[3] == 2 else voxels
        unknown = (np.abs(voxels) >= _UNKNOWN).any(axis=-1)
        vectors = torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels, -1, 0)))
        if intent == _DISPLACEMENT:
            vectors[:2] *= -1
        field = to_voxels(vectors, affine).float()
        if unknown.any():
            logger.warning("%s gives no displacement at %d voxels; they count as outside.", path, unknown.sum())
            field[:, torch.from_numpy(unknown)] = _FAR
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into memory.") from error
    return MetaTensor(field, affine=torch.as_tensor(affine), meta={"filename_or_obj": str(path)})


def _check_suffix(path: Path, done: str) -> str:
    suffix = split_suffix(path)[1]
    if suffix not in FIELD_SUFFIXES:
        raise ImageError(f"fields are {done} as {', '.join(FIELD_SUFFIXES)}, got {path.name}.")
    return suffix


def _dims(field: torch.Tensor) -> int:
    dims = field.dim() - 1
    if dims not in (2, 3) or field.shape[0] != dims:
        raise RegistrationError(f"a field is (2, H, W) or (3, H, W, D), without a batch, got {list(field.shape)}.")
    return dims


def _lps(affine: Union[np.ndarray, torch.Tensor], dims: int) -> np.ndarray:
    """Return the matrix from voxel indices to millimetres in LPS, (D+1, D+1), of an affine in RAS."""
    ras = np.asarray(affine, dtype=np.float64)
    if not is_invertible(ras, dims):
        raise RegistrationError("the grid's affine cannot be inverted; repair its orientation first.")
    return reduced(RAS_LPS, dims) @ Grid((1,) * dims, ras).matrix


def _linear_part(matrix: np.ndarray, field: torch.Tensor) -> torch.Tensor:
    dims = field.dim() - 1
    linear = torch.as_tensor(matrix[:dims, :dims], dtype=torch.float64, device=field.device)
    plain = field.as_tensor() if isinstance(field, MetaTensor) else field
    return torch.tensordot(linear, plain.detach().double(), dims=1)
