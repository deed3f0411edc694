"""A picture of an image with its label map over it, for a look whether the result makes sense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor

from monai_hyperscale.data.labels import label_counts
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.io.images import image_source

__all__ = ["save_preview"]

_PLANES = ("sagittal", "coronal", "axial")
_MOST_NAMES = 20
# Voxels that tell the range of grey values.
_SAMPLE = 2**22


def save_preview(
    image: MetaTensor,
    label: np.ndarray,
    path: Union[str, Path],
    names: Mapping[int, str],
    title: str = "",
    opacity: float = 0.5,
) -> None:
    """Write a PNG with the three orthogonal slices through the middle of the labels, or the one slice of a 2D image.

    The slices go through the labels' centre of mass, moved to the nearest slice that has a label; through the centre
    of the image where there is none. Volumes are shown in RAS order by their nearest axes, with the right aspect; the
    patient's left, marked L, is on the left.

    Args:
        image: (C, *sizes); the first channel is shown, between its 0.5th and 99.5th percentile, which voxels
            spread evenly tell of a large image.
        label: label values, of shape sizes.
        path: where to; written whole or not at all.
        names: label value to name, for the legend.
        title: above the picture.
        opacity: of the labels, in [0, 1].
    """
    affine = image_source(image).affine
    # Views of the image and the label map, in RAS order: of a large volume no copy is made.
    grey = image.as_tensor()[0].cpu().numpy()
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if label.ndim == 3:
        turn = nib.orientations.io_orientation(affine)
        grey, label = (nib.orientations.apply_orientation(array, turn) for array in (grey, label))
        zooms = zooms[np.argsort(turn[:, 0])]
    _draw(grey, label, zooms.tolist(), Path(path), names, title, opacity)


def _draw(
    grey: np.ndarray,
    label: np.ndarray,
    spacing: list[float],
    path: Path,
    names: Mapping[int, str],
    title: str,
    opacity: float,
) -> None:
    if grey.ndim == 2:
        slices = [("", grey, label, spacing[1] / spacing[0])]
    else:
        centre = slice_centre(label)
        slices = []
        for axis, plane in enumerate(_PLANES):
            across, up = (n for n in range(3) if n != axis)
            cut: tuple[Any, ...] = (*[slice(None)] * axis, centre[axis])
            slices.append((f"{plane} {centre[axis]}", grey[cut], label[cut], spacing[up] / spacing[across]))
    # A canvas of its own, not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=(4 * len(slices) + 1.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    low, high = np.percentile(_sample(grey), (0.5, 99.5))
    panels = np.atleast_1d(figure.subplots(1, len(slices)))
    for axes, (name, plane_grey, plane_label, aspect) in zip(panels, slices, strict=True):
        # Files of volumes count up from the patient's bottom, those of 2D images down from the top of the picture.
        origin = "lower" if grey.ndim == 3 else "upper"
        axes.imshow(plane_grey.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin=origin, aspect=aspect)
        axes.imshow(_coloured(plane_label.T, opacity), origin=origin, aspect=aspect, interpolation="nearest")
        axes.set_title(name, fontsize=10)
        if name.startswith(("coronal", "axial")):
            for x, side in ((0.02, "L"), (0.98, "R")):
                axes.text(x, 0.5, side, transform=axes.transAxes, color="white", fontsize=9, ha="center", va="center")
        axes.set_axis_off()
    present = [value for value in label_counts(label) if value]
    patches = [Patch(color=label_colour(value), label=names.get(value, str(value))) for value in present[:_MOST_NAMES]]
    if len(present) > _MOST_NAMES:
        patches.append(Patch(color="none", label=f"and {len(present) - _MOST_NAMES} more"))
    if patches:
        figure.legend(handles=patches, loc="outside right center", frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def slice_centre(label: np.ndarray) -> list[int]:
    """Return the index along every axis of the slice to show, see :func:`save_preview`.

    Example:
        >>> slice_centre(np.zeros((5, 4, 2))), slice_centre(np.eye(3)[:, :, None])
        ([2, 2, 1], [1, 1, 0])
    """
    centre = []
    for size, counts in zip(label.shape, _filled(label), strict=True):
        indices = np.flatnonzero(counts)
        if not indices.size:
            centre.append(size // 2)
            continue
        mean = counts @ np.arange(size) / counts.sum()
        centre.append(int(indices[np.abs(indices - mean).argmin()]))
    return centre


def _filled(label: np.ndarray) -> list[np.ndarray]:
    """Return how many voxels have a label in every slice across each axis."""
    filled = label != 0
    # Plane by plane as they lie in memory; numpy's sums over the other axes take many times as long.
    order = np.argsort([-stride for stride in filled.strides], kind="stable").tolist()
    planes = filled.transpose(order)
    shadow = planes.sum(axis=0)
    counts = {order[0]: np.array([np.count_nonzero(plane) for plane in planes])}
    for n, axis in enumerate(order[1:]):
        counts[axis] = shadow.sum(axis=tuple(other for other in range(shadow.ndim) if other != n))
    return [counts[axis] for axis in range(label.ndim)]


def _sample(grey: np.ndarray) -> np.ndarray:
    """Return the voxels, or every second, third, … along every axis of a large image."""
    step = math.ceil((grey.size / _SAMPLE) ** (1 / grey.ndim))
    return grey[(slice(None, None, max(1, step)),) * grey.ndim]


def label_colour(value: int) -> tuple[float, float, float]:
    """Return the colour of a label value, (red, green, blue) in [0, 1]; it repeats after ten."""
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    return to_rgb(colours[(value + 2) % len(colours)])


def _coloured(label: np.ndarray, opacity: float) -> np.ndarray:
    picture = np.zeros((*label.shape, 4))
    for value in np.unique(label):
        if value:
            picture[label == value] = (*label_colour(int(value)), opacity)
    return picture
