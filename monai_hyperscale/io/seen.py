"""What the images of a training were like in space, and whether another image is like them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import nibabel as nib
import numpy as np

from monai_hyperscale.errors import ImageError

logger = logging.getLogger(__name__)

# An image is like those of the training from half their least extent to 1.5 times their greatest one along every axis:
# in crops of whole heads of that size the hippocampus network's Dice has fallen from .70 to about .3, ...
_SMALLER, _LARGER = 2.0, 1.5
# ... and with voxels of up to so many times their greatest. Finer ones lose nothing.
_COARSER = 4.0
# Voxels of up to 5 % beyond what was trained are taken as they are.
_SAME_SPACING = 0.05

#: Least, median and greatest value along every axis.
Spread = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class SeenImages:
    """Voxel size, extent and orientation of the images that a network was trained on, volumes along R, A and S.

    ``sizes`` (voxels), ``extent`` (mm) and ``spacing`` (mm) have ``min``, ``median`` and ``max``, each along every
    axis; 2D image files have no spacing and their extent in pixels. ``orientation`` is that of all files, or ``None``.

    Example:
        >>> seen = SeenImages.of([((40, 50, 36), np.eye(4)), ((36, 52, 40), np.eye(4))])
        >>> seen.spacing_for(np.diag([1.0, 1.02, 4.0, 1.0]))
        (1.0, 1.02, 1.0)
        >>> seen.unlike((256, 256, 256), np.eye(4))
        'is 256 x 256 x 256 mm, but the network was trained on images of 36 to 40 x 50 to 52 x 36 to 40 mm'
    """

    cases: int
    sizes: Spread
    extent: Spread
    spacing: Optional[Spread] = None
    orientation: Optional[str] = None

    @classmethod
    def of(cls, images: Iterable[tuple[Sequence[int], Optional[np.ndarray]]]) -> SeenImages:
        """Describe images: of each the voxels per axis, and its affine in RAS, ``None`` for 2D image files."""
        images = list(images)
        sizes, spacings = zip(*(_in_ras(shape, affine) for shape, affine in images), strict=True)
        volumes = [affine if len(shape) == 3 else None for shape, affine in images]
        orientations = {None if affine is None else "".join(nib.aff2axcodes(affine)) for affine in volumes}
        known = [spacing for spacing in spacings if spacing is not None]
        whole = len(known) == len(sizes)
        extents = [np.multiply(*pair) for pair in zip(sizes, known, strict=True)] if whole else sizes
        return cls(
            len(sizes),
            _spread(sizes),
            _spread(extents),
            _spread(known) if whole else None,
            orientations.pop() if len(orientations) == 1 else None,
        )

    def spacing_for(self, affine: np.ndarray, axes: int = 3) -> Optional[tuple[float, ...]]:
        """Return the voxel size along R, A and S that a volume is to be resampled to; ``None``: it stays as it is.

        Along the first ``axes`` (2 for a network on axial slices) voxels unlike those of the training become the
        median.
        """
        if self.spacing is None:
            return None
        own = _in_ras((1, 1, 1), affine)[1]
        low, median, high = (np.asarray(self.spacing[key][:axes]) for key in ("min", "median", "max"))
        counted = own[: len(median)]
        seen = (counted >= low * (1 - _SAME_SPACING)) & (counted <= high * (1 + _SAME_SPACING))
        return None if seen.all() else (*np.where(seen, counted, median).tolist(), *own[len(median) :].tolist())

    def unlike(self, sizes: Sequence[int], affine: np.ndarray, axes: int = 3) -> Optional[str]:
        """Return in what an image lies far outside of what was trained, to follow its name; ``None`` if it does not."""
        counts, spacing = _in_ras(sizes, None if self.spacing is None else affine)
        extent = counts if spacing is None else counts * spacing
        unit = "pixels" if spacing is None else "mm"
        count = min(axes, len(extent), len(self.extent["median"]))
        low, high = (np.asarray(self.extent[key][:count]) for key in ("min", "max"))
        if (extent[:count] < low / _SMALLER).any() or (extent[:count] > high * _LARGER).any():
            return (
                f"is {_product(extent)} {unit}, but the network was trained on images of "
                f"{_product(self.extent['min'], self.extent['max'])} {unit}"
            )
        if spacing is not None and self.spacing is not None:
            greatest = np.asarray(self.spacing["max"][:count])
            if (spacing[:count] > _COARSER * greatest * (1 + _SAME_SPACING)).any():
                return (
                    f"has voxels of {_product(spacing)} mm, but the network was trained on voxels of "
                    f"{_product(self.spacing['min'], self.spacing['max'])} mm"
                )
        return None

    def check(
        self, name: str, sizes: Sequence[int], affine: np.ndarray, axes: int = 3, force: bool = False
    ) -> Optional[str]:
        """Return in what an image is outside, with a warning in the log; without ``force``, an :class:`ImageError`."""
        found = self.unlike(sizes, affine, axes)
        if found is None:
            return None
        if not force:
            way_out = (
                "take an image like those, as a crop of a larger one, or --force, which may find what is not there"
            )
            raise ImageError(f"{name} {found}; {way_out}.")
        logger.warning("%s %s; what comes out may mean nothing.", name, found)
        return f"{name} {found}"


def _in_ras(shape: Sequence[int], affine: Optional[np.ndarray]) -> tuple[np.ndarray, Any]:
    """Return voxels and voxel size per axis, of volumes in RAS order; of 2D images as the file has them."""
    counts = np.asarray(shape, dtype=float)
    if affine is None:
        return counts, None
    spacing = np.linalg.norm(np.asarray(affine, dtype=float)[:3, : len(counts)], axis=0)
    if len(counts) < 3:
        return counts, spacing
    order = np.argsort(nib.orientations.io_orientation(affine)[:, 0])
    return counts[order], spacing[order]


def _spread(values: Sequence[np.ndarray]) -> Spread:
    found = {"min": np.min(values, axis=0), "median": np.median(values, axis=0), "max": np.max(values, axis=0)}
    # What headers in single precision hold.
    return {name: tuple(round(float(value), 5) for value in row) for name, row in found.items()}


def _product(low: Iterable[float], high: Optional[Iterable[float]] = None) -> str:
    texts = [f"{value:.3g}" for value in low]
    if high is not None:
        pairs = zip(texts, (f"{value:.3g}" for value in high), strict=True)
        texts = [first if first == last else f"{first} to {last}" for first, last in pairs]
    return " x ".join(texts)
