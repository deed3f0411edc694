"""A picture of an image with its label map over it, for a look whether the result makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Orientation

from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.io.images import image_source

__all__ = ["save_preview"]

_PLANES = ("sagittal", "coronal", "axial")
_MOST_NAMES = 20


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
        image: (C, *sizes); the first channel is shown, between its 0.5th and 99.5th percentile.
        label: label values, of shape sizes.
        path: where to; written whole or not at all.
        names: label value to name, for the legend.
        title: above the picture.
        opacity: of the labels, in [0, 1].
    """
    affine = torch.as_tensor(image_source(image).affine)
    grey: torch.Tensor = MetaTensor(image.as_tensor()[:1].float(), affine=affine)
    overlay: torch.Tensor = MetaTensor(torch.as_tensor(label.astype(np.int32))[None], affine=affine)
    if label.ndim == 3:
        turn = Orientation("RAS", labels=None)
        grey, overlay = turn(grey), turn(overlay)
    spacing = affine_to_spacing(grey.affine, r=3).tolist()  # type: ignore[attr-defined]
    _draw(grey[0].numpy(), overlay[0].numpy(), spacing, Path(path), names, title, opacity)


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
            pair = (np.take(grey, centre[axis], axis), np.take(label, centre[axis], axis))
            slices.append((f"{plane} {centre[axis]}", *pair, spacing[up] / spacing[across]))
    # A canvas of its own, not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=(4 * len(slices) + 1.5, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    low, high = np.percentile(grey, (0.5, 99.5))
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
    present = [int(value) for value in np.unique(label) if value]
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
    found = np.nonzero(label)
    if not found[0].size:
        return [size // 2 for size in label.shape]
    centre = []
    for indices in found:
        filled = np.unique(indices)
        centre.append(int(filled[np.abs(filled - indices.mean()).argmin()]))
    return centre


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
