"""Registered slices: the moved image, its difference to the fixed one, the deformation and its Jacobian determinant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional

import matplotlib
import numpy as np
import torch

from monai_hyperscale.registration.fields import jacobian_determinant
from monai_hyperscale.registration.warping import warp
from monai_hyperscale.report.cards import Card, KeyEntry, Layer, Picture, image_layer, path_layer
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.pictures import colours_uri, filled, grey_uri, unit_intensity

__all__ = ["registration_cards"]

_LEVELS = 255
# Jacobian determinants from a quarter to four, in equal steps of their logarithm.
_JACOBIAN = matplotlib.colormaps["PuOr"](np.linspace(0.05, 0.95, _LEVELS)).tolist()
_DIFFERENCE = matplotlib.colormaps["RdBu_r"](np.linspace(0, 1, _LEVELS)).tolist()
_GRID_LINES = 18
_POINTS_PER_LINE = 60


def registration_cards(
    example: Example,
    number: int,
    labels: Mapping[int, str],
    name: Callable[[tuple[float, ...]], str],
    note: Callable[[tuple[float, ...]], Optional[str]],
) -> tuple[list[Card], list[KeyEntry]]:
    """Return the cards of one pair, as it was, and one for each φ, and the key to their colours.

    Args:
        example: of registration.
        number: of the example in the page, which its pictures do without.
        labels: value to name, likewise.
        name: φ in words.
        note: what stands under the name of a φ.
    """
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
    """Return what the colours mean."""
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
