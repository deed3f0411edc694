"""Where a file's header lays its voxels: by sform or qform, in which unit, and what to do where it does not tell."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import nibabel as nib
import numpy as np

__all__ = ["BY_HEADER", "HEADER_FORMS", "Placement", "apart", "nifti_affine", "oriented_affine", "without_orientation"]

#: The two affines of a NIfTI header.
HEADER_FORMS = ("sform", "qform")

# Millimetres of NIfTI's units of length, by their code; code 2 is the millimetre, 0 and all others do not tell.
_MILLIMETRES = {1: 1000.0, 3: 0.001}
_UNIT_BITS = 7

# Distance between a voxel's places by sform and qform, in voxels, beyond what rounding in headers makes.
_APART = 0.2


@dataclass(frozen=True)
class Placement:
    """What to go by where the headers of files leave a choice.

    Attributes:
        header: ``sform`` or ``qform``, for NIfTI files whose two forms disagree; ``None`` takes the sform, as nibabel
            does, with a warning.
        orientation: where the axes of files point whose headers do not tell, such as ``RAS`` or ``LPS``; ``None``
            takes what the format's reader assumes, with a warning.

    Raises:
        ValueError: for another form, or an orientation that is not three letters, one each of L and R, P and A, I and
            S.

    Example:
        >>> Placement(orientation="RAX")
        Traceback (most recent call last):
        ...
        ValueError: orientation is three letters, one each of R or L, A or P, S or I, such as RAS; got 'RAX'.
    """

    header: Optional[str] = None
    orientation: Optional[str] = None

    def __post_init__(self) -> None:
        if self.header not in (None, *HEADER_FORMS):
            raise ValueError(f"header is {' or '.join(HEADER_FORMS)}, got {self.header!r}.")
        if self.orientation is not None and sorted("LRPAIS".find(axis) // 2 for axis in self.orientation) != [0, 1, 2]:
            raise ValueError(
                "orientation is three letters, one each of R or L, A or P, S or I, such as RAS; "
                f"got {self.orientation!r}."
            )


#: What the headers say, and what readers assume where they do not.
BY_HEADER = Placement()


def nifti_affine(header: Any, placement: Placement) -> tuple[np.ndarray, str]:
    """Return the affine of a NIfTI header, and what a user should know about it.

    Args:
        header: nibabel's.
        placement: what to go by where the header leaves a choice.

    Returns:
        (4, 4) float64, from voxel indices to millimetres, RAS; and a sentence to follow the file's name, ``""`` where
        there is nothing to say.

    Example:
        >>> header = nib.Nifti1Image(np.zeros((2, 2, 2)), np.diag([500, 500, 500, 1.0])).header
        >>> header.set_xyzt_units("micron")
        >>> nifti_affine(header, Placement())[0].diagonal()
        array([0.5, 0.5, 0.5, 1. ])
    """
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
            note = (
                f"lies in two places, up to {distance:.3g} voxels apart, by {sform} and {qform} of its header; the "
                "sform counts here, and --header qform takes the other."
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
    """Return the affine of a file whose header does not tell its orientation, and what a user should know about it.

    Args:
        assumed: (4, 4), what the format's reader makes of it.
        sizes: voxels per axis.
        placement: whose orientation counts, if it has one.
    """
    if placement.orientation is not None:
        return oriented_affine(placement.orientation, np.linalg.norm(assumed[:3, :3], axis=0), sizes), ""
    codes = "".join(nib.aff2axcodes(assumed))
    return assumed, (
        f"has no orientation in its header; its axes are taken to point to {codes}, which may be wrong. If you know "
        "better, say so with --orientation, such as --orientation RAS."
    )


def oriented_affine(orientation: str, spacing: Sequence[float], sizes: Sequence[int]) -> np.ndarray:
    """Return the affine, (4, 4) in RAS, of voxels around the origin whose axes point as told.

    Args:
        orientation: three letters, such as ``LPS``.
        spacing: voxel size along each of the three axes.
        sizes: voxels per axis, two or three.

    Example:
        >>> oriented_affine("LPS", (1, 2, 3), (5, 5, 5))
        array([[-1.,  0.,  0.,  2.],
               [ 0., -2.,  0.,  4.],
               [ 0.,  0.,  3., -6.],
               [ 0.,  0.,  0.,  1.]])
    """
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(nib.orientations.axcodes2ornt(tuple(orientation))):
        affine[int(world), axis] = sign * spacing[axis]
    middle = (np.asarray([*sizes, 1, 1, 1][:3], dtype=float) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle + 0.0  # no -0.0
    return affine


def apart(first: np.ndarray, second: np.ndarray, sizes: Sequence[int]) -> float:
    """Return how far the corners of two grids of the same sizes are apart, in the smallest side of a voxel.

    Args:
        first: (4, 4), an affine.
        second: the same.
        sizes: voxels per axis.
    """
    corners = np.array([*itertools.product(*((0, n - 1) for n in [*sizes, 1, 1, 1][:3]))], dtype=float)
    away = (corners @ (first - second)[:3, :3].T) + (first - second)[:3, 3]
    side = min(np.linalg.norm(affine[:3, :3], axis=0).min() for affine in (first, second))
    return float(np.abs(away).max() / side) if side > 0 else float("inf")
