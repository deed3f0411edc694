"""A picture of a pair before and after registration, for a look whether it makes sense."""

from __future__ import annotations

from pathlib import Path
from typing import Union

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Orientation

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.tasks.registration.pair_transforms import UnitIntensity

__all__ = ["checkerboard", "save_registration_preview"]

_PLANES = ("sagittal", "coronal", "axial")
_COLUMNS = ("fixed", "moving", "moved", "checkerboard", "difference before", "difference after")


def save_registration_preview(
    fixed: MetaTensor, moving: MetaTensor, moved: MetaTensor, path: Union[str, Path], title: str = "", squares: int = 8
) -> None:
    """Write a PNG of a pair: three orthogonal slices through the middle of a volume, or the one slice of a 2D image.

    Columns are the fixed image, the moving one before and after registration, a checkerboard of fixed and moved image,
    where edges go on across squares if all is well, and moving less fixed image before and after: red where the moving
    image is brighter, blue where it is darker. Volumes are shown in RAS order.

    Args:
        fixed: (C, *sizes); the first channel of each is shown, clipped to its 0.5th and 99.5th percentile.
        moving: before registration, on the fixed image's grid.
        moved: after it, on the same grid.
        path: where to; written whole or not at all.
        title: above the picture.
        squares: of the checkerboard along the longer side.

    Raises:
        RegistrationError: if the images are not of one size.
    """
    if len({tuple(image.shape[1:]) for image in (fixed, moving, moved)}) > 1:
        sizes = ", ".join(str(list(image.shape[1:])) for image in (fixed, moving, moved))
        raise RegistrationError(f"the images of a preview must be on one grid, got sizes {sizes}.")
    scale, turn = UnitIntensity(), Orientation("RAS", labels=None)
    shown: list[torch.Tensor] = [
        MetaTensor(scale(image.as_tensor()[:1]), affine=fixed.affine) for image in (fixed, moving, moved)
    ]
    if fixed.dim() == 4:
        shown = [turn(image) for image in shown]
    spacing = affine_to_spacing(fixed.affine if fixed.dim() == 3 else shown[0].affine, r=3).tolist()  # type: ignore[attr-defined]
    planes = [("", tuple(image[0].numpy() for image in shown), spacing[1] / spacing[0])]
    if fixed.dim() == 4:
        planes = []
        for axis, plane in enumerate(_PLANES):
            across, up = (n for n in range(3) if n != axis)
            middle = shown[0].shape[1 + axis] // 2
            slices = tuple(image[0].select(axis, middle).numpy() for image in shown)
            planes.append((f"{plane} {middle}", slices, spacing[up] / spacing[across]))
    _draw(planes, "lower" if fixed.dim() == 4 else "upper", Path(path), title, squares)


def checkerboard(first: np.ndarray, second: np.ndarray, squares: int = 8) -> np.ndarray:
    """Return an image whose squares are taken from the two in turn.

    Args:
        first: (H, W), of which the first square is.
        second: (H, W).
        squares: along the longer side.

    Example:
        >>> checkerboard(np.zeros((2, 4)), np.ones((2, 4)), squares=4).tolist()
        [[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]
    """
    side = max(1, -(-max(first.shape) // squares))
    rows, columns = np.indices(first.shape) // side
    return np.where((rows + columns) % 2 == 0, first, second)


def _draw(
    planes: list[tuple[str, tuple[np.ndarray, ...], float]], origin: str, path: Path, title: str, squares: int
) -> None:
    # A canvas of its own, not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=(2.6 * len(_COLUMNS), 2.9 * len(planes) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    for row, (axes, (name, (fixed, moving, moved), aspect)) in enumerate(
        zip(figure.subplots(len(planes), len(_COLUMNS), squeeze=False), planes, strict=True)
    ):
        greys = (fixed, moving, moved, checkerboard(fixed, moved, squares))
        for axis, picture in zip(axes, (*greys, moving - fixed, moved - fixed), strict=True):
            difference = axis in axes[len(greys) :]
            colours, low = ("seismic", -1.0) if difference else ("gray", 0.0)
            axis.imshow(picture.T, cmap=colours, vmin=low, vmax=1.0, origin=origin, aspect=aspect)
            axis.set_xticks([]), axis.set_yticks([])
        axes[0].set_ylabel(name, fontsize=10)
        if row == 0:
            for axis, column in zip(axes, _COLUMNS, strict=True):
                axis.set_title(column, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
