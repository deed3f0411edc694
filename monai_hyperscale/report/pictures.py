"""Pictures inside a page: small PNG data under SVG outlines."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image, ImageColor

from monai_hyperscale.data.intensity import UnitIntensity

#: Okabe and Ito's colours, told apart by the colour-blind; without black, which is lost on a scan.
LABEL_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2")
_OPACITY = 0.6
# Pixels along the longer side; larger slices are reduced, so that the page stays small.
_LARGEST = 256


def label_colour(position: int) -> str:
    """Return the colour of the label at a position of the list of labels; they repeat after seven."""
    return LABEL_COLOURS[position % len(LABEL_COLOURS)]


def unit_intensity(image: np.ndarray) -> np.ndarray:
    """Return an image of any shape clipped to its 0.5th and 99.5th percentile, from 0 to 1."""
    values = np.array(image, dtype=np.float32)
    return UnitIntensity()(torch.from_numpy(values)[None])[0].numpy()


def reduced(plane: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Return a plane (rows, columns) of at most 256 pixels along its longer side, of the same type."""
    factor = max(plane.shape) / _LARGEST
    if factor <= 1:
        return plane
    rows, columns = (max(1, round(n / factor)) for n in plane.shape)
    if nearest:
        picked = ((np.arange(n) + 0.5) * old / n for n, old in zip((rows, columns), plane.shape, strict=True))
        return plane[np.ix_(*(index.astype(int) for index in picked))]
    smaller = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(smaller).astype(plane.dtype)


def grey_uri(plane: np.ndarray) -> str:
    """Return a plane of values from 0 to 1 as a grey PNG."""
    return _uri(Image.fromarray((reduced(plane).clip(0, 1) * 255).round().astype(np.uint8)))


def labels_uri(plane: np.ndarray, values: Sequence[int]) -> str:
    """Return a plane of labels as a PNG that is clear where none of ``values`` is, coloured in their order."""
    labels = reduced(plane, nearest=True)
    colours = len(LABEL_COLOURS)
    indices = np.zeros(labels.shape, np.uint8)
    for position, value in enumerate(values):
        indices[labels == value] = 1 + position % colours
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0] + [part for colour in LABEL_COLOURS for part in ImageColor.getrgb(colour)])
    return _uri(picture, transparency=bytes([0] + [round(255 * _OPACITY)] * colours))


def colours_uri(plane: np.ndarray, palette: Sequence[Sequence[float]]) -> str:
    """Return a plane of palette indices as a PNG; the palette is of at most 256 (red, green, blue) from 0 to 1."""
    picture = Image.fromarray(reduced(plane, nearest=True).astype(np.uint8))
    picture.putpalette([round(255 * part) for colour in palette for part in colour[:3]])
    return _uri(picture)


def outline(plane: np.ndarray) -> str:
    """Return the borders between labels of a plane as an SVG path along pixel edges, such as ``M1 1h2M1 2h2M1 1v1``."""
    labels = reduced(plane, nearest=True)
    scale = plane.shape[1] / labels.shape[1], plane.shape[0] / labels.shape[0]
    parts = []
    for lines, command in ((labels[1:] != labels[:-1], "h"), ((labels[:, 1:] != labels[:, :-1]).T, "v")):
        along, across = scale if command == "h" else scale[::-1]
        for number, start, end in _runs(lines):
            place = (start * along, (number + 1) * across)
            x, y = place if command == "h" else place[::-1]
            parts.append(f"M{x:.5g} {y:.5g}{command}{(end - start) * along:.5g}")
    return "".join(parts)


def filled(mask: np.ndarray) -> str:
    """Return the pixels of a mask (rows, columns) as an SVG path to be filled, such as ``M1 0h2v1h-2z``."""
    return "".join(f"M{start} {row}h{end - start}v1h{start - end}z" for row, start, end in _runs(mask))


def _runs(mask: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield row, start and end of every run of a mask (rows, columns)."""
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        yield from ((row, start, end) for start, end in edges.reshape(-1, 2))


def _uri(image: Image.Image, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
