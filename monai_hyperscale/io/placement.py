"""Where a file's header lays its voxels: by sform or qform, in which unit, and what to do where it does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import nibabel as nib
import numpy as np

from monai_hyperscale.io.grids import apart

__all__ = ["BY_HEADER", "HEADER_FORMS", "Placement", "nifti_affine", "oriented_affine", "without_orientation"]

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

    Args:
        header: ``sform`` or ``qform``, for NIfTI files whose two forms disagree; ``None`` takes the sform, as nibabel
            does, with a warning.
        orientation: where the axes of files point whose headers do not tell, such as ``RAS`` or ``LPS``; ``None``
            takes what the format's reader assumes, with a warning.
        as_options: whether warnings name the options of the command line that make another choice.

    Raises:
        ValueError: for another form, or an orientation that is not three letters, one each of L R, P A and I S.
    """

    header: Optional[str] = None
    orientation: Optional[str] = None
    as_options: bool = field(default=False, compare=False)

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
