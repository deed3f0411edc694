"""Pictures of registered pairs: slices on a report's page, and a PNG for a look whether it makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Orientation

from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.io.files import replacing
from monai_hyperscale.registration.fields import jacobian_determinant
from monai_hyperscale.registration.warping import warp
from monai_hyperscale.report.cards import Card, Cards, KeyEntry, Layer, Naming, Noting, Picture, image_layer, path_layer
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.pictures import colours_uri, filled, grey_uri, unit_intensity

_LEVELS = 255
# Jacobian determinants from a quarter to four, in equal steps of their logarithm.
_JACOBIAN = matplotlib.colormaps["PuOr"](np.linspace(0.05, 0.95, _LEVELS)).tolist()
_DIFFERENCE = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, _LEVELS)).tolist()
_GRID_LINES = 18
_POINTS_PER_LINE = 60
_PLANES = ("sagittal", "coronal", "axial")
_COLUMNS = ("fixed", "moving", "moved", "checkerboard", "difference before", "difference after")


def registration_cards(example: Example, number: int, labels: Mapping[int, str], name: Naming, note: Noting) -> Cards:
    """Return the cards of a pair as it was and for each φ, and the key to their colours, see :attr:`Task.cards`."""
    moving, fixed = (unit_intensity(example.images[kind]) for kind in ("moving", "fixed"))
    target = example.plane(fixed)
    before = [
        ("fixed", _grey(target, f"fixed slice of {example.name}")),
        ("moving − fixed", _difference(example.plane(moving), target, "the moving image less the fixed one")),
        ("moving", _grey(example.plane(moving), "the moving image there")),
    ]
    cards = [Card("Before", before)]
    for phi in sorted(example.predictions):
        field = torch.from_numpy(np.array(example.predictions[phi], dtype=np.float32))[None]
        moved = example.plane(warp(torch.from_numpy(moving)[None, None], field)[0, 0].numpy())
        jacobian = jacobian_determinant(field)[0, 0].numpy()
        shown = example.plane(jacobian)
        folded, here = (int((values <= 0).sum()) for values in (jacobian, shown))
        at = name(phi)
        panels = [
            ("moved", _grey(moved, f"the moved image at {at}")),
            ("moved − fixed", _difference(moved, target, f"the moved image less the fixed one at {at}")),
            ("deformation", _grid(example, field[0].numpy(), f"the deformation grid at {at}")),
            (
                f"Jacobian; {folded} folded, {here} here" if folded else "Jacobian; none folded",
                _jacobian(shown, f"Jacobian determinant at {at}"),
            ),
        ]
        cards.append(Card(at, panels, note(phi), phi))
    return cards, _key()


def _key() -> list[KeyEntry]:
    square = Picture((10, 10), [path_layer("M0 0h10v10h-10z", "folded")], kind="swatch")
    return [
        KeyEntry("difference from −1 to 1, of the range of intensities", _bar(_DIFFERENCE)),
        KeyEntry("Jacobian determinant from ¼ to 4: shrinks, grows", _bar(_JACOBIAN)),
        KeyEntry("folded: 0 or less", square),
        KeyEntry("The grid shows the displacement within the slice."),
    ]


def _bar(colours: list[list[float]]) -> Picture:
    shape = 1, len(colours)
    address = colours_uri(np.arange(len(colours))[None], colours)
    return Picture(shape, [image_layer(address, shape)], kind="swatch wide", stretched=True)


def _grey(plane: np.ndarray, description: str) -> Picture:
    return Picture(plane.shape, [image_layer(grey_uri(plane), plane.shape)], description)


def _difference(image: np.ndarray, fixed: np.ndarray, description: str) -> Picture:
    levels = ((image - fixed).clip(-1, 1) + 1) / 2 * (_LEVELS - 1)
    return Picture(image.shape, [image_layer(colours_uri(levels.round(), _DIFFERENCE), image.shape)], description)


def _jacobian(plane: np.ndarray, description: str) -> Picture:
    folded = plane <= 0
    levels = (np.log2(np.where(folded, 0.25, plane)).clip(-2, 2) + 2) / 4 * (_LEVELS - 1)
    layers = [image_layer(colours_uri(levels.round(), _JACOBIAN), plane.shape)]
    if folded.any():
        layers.append(path_layer(filled(folded), "folded"))
    return Picture(plane.shape, layers, description)


def _grid(example: Example, field: np.ndarray, description: str) -> Picture:
    """Draw where the lines of a square grid go, of the slice's own two axes."""
    across, up = (example.plane(component) for component in field[:2])
    rows, columns = across.shape
    # Pictures of volumes count rows from the foot, those of 2D images from the head.
    down = -up if len(example.sizes) == 3 else up
    x = np.arange(columns)[None] + 0.5 + across
    y = np.arange(rows)[:, None] + 0.5 + down
    step = max(1, round(max(rows, columns) / _GRID_LINES))
    thin = max(1, round(max(rows, columns) / _POINTS_PER_LINE))
    lines = [(x[row, ::thin], y[row, ::thin]) for row in range(step // 2, rows, step)]
    lines += [(x[::thin, column], y[::thin, column]) for column in range(step // 2, columns, step)]
    path = "".join("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(*line, strict=True)) for line in lines)
    ground = Layer("rect", {"width": columns, "height": rows})
    return Picture((rows, columns), [ground, path_layer(path, "grid")], description)


def save_registration_preview(
    fixed: MetaTensor, moving: MetaTensor, moved: MetaTensor, path: Union[str, Path], title: str = ""
) -> None:
    """Write a PNG of a pair: three orthogonal slices through the middle of a volume, or the one slice of a 2D image.

    Columns are the fixed image, the moving one before and after registration, a checkerboard of fixed and moved image,
    where edges go on across squares if all is well, and moving less fixed image before and after: red where the moving
    image is brighter, blue where it is darker. Volumes are shown in RAS order.

    Images are (C, *sizes), all on the fixed one's grid, or it is a :class:`RegistrationError`; the first channel of
    each is shown, clipped to its 0.5th and 99.5th percentile. ``title`` stands above. The file is whole or not there at
    all.
    """
    sizes = [list(image.shape[1:]) for image in (fixed, moving, moved)]
    if sizes[0] != sizes[1] or sizes[0] != sizes[2]:
        raise RegistrationError(f"the images of a preview must be on one grid, got sizes {', '.join(map(str, sizes))}.")
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
    _draw(planes, "lower" if fixed.dim() == 4 else "upper", Path(path), title)


def checkerboard(first: np.ndarray, second: np.ndarray, squares: int = 8) -> np.ndarray:
    """Return an image (H, W) whose squares, so many along the longer side, are taken from two in turn."""
    side = max(1, -(-max(first.shape) // squares))
    rows, columns = np.indices(first.shape) // side
    return np.where((rows + columns) % 2 == 0, first, second)


def _draw(planes: list[tuple[str, tuple[np.ndarray, ...], float]], origin: str, path: Path, title: str) -> None:
    # Not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=(2.6 * len(_COLUMNS), 2.9 * len(planes) + 0.6), layout="constrained")
    for row, (axes, (name, (fixed, moving, moved), aspect)) in enumerate(
        zip(figure.subplots(len(planes), len(_COLUMNS), squeeze=False), planes, strict=True)
    ):
        greys = (fixed, moving, moved, checkerboard(fixed, moved))
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
