"""Pictures of an image with its label map over it: a file for a look at the result, and the cards of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import matplotlib
import nibabel as nib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor

from monai_hyperscale.data.labels import label_counts
from monai_hyperscale.io.files import replacing
from monai_hyperscale.io.images import image_source
from monai_hyperscale.report import cards as page
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.pictures import grey_uri, label_colour, labels_uri, outline, unit_intensity

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

    Of the image (C, *sizes) the first channel is shown, between its 0.5th and 99.5th percentile, with the label values
    (*sizes) over it, of an ``opacity`` in [0, 1]. ``names`` has the legend's by label value; ``title`` stands above.
    The file is whole or not there at all.
    """
    affine = image_source(image).affine
    # Views of the image and the label map, in RAS order: of a large volume no copy is made.
    grey, zooms = image.as_tensor()[0].cpu().numpy(), np.linalg.norm(affine[:3, :3], axis=0)
    slices = [("", grey, label, zooms[1] / zooms[0])]
    if label.ndim == 3:
        turn = nib.orientations.io_orientation(affine)
        grey, label = (nib.orientations.apply_orientation(array, turn) for array in (grey, label))
        zooms, centre, slices = zooms[np.argsort(turn[:, 0])], slice_centre(label), []
        for axis, plane in enumerate(_PLANES):
            across, up = (n for n in range(3) if n != axis)
            cut: tuple[Any, ...] = (*[slice(None)] * axis, centre[axis])
            slices.append((f"{plane} {centre[axis]}", grey[cut], label[cut], zooms[up] / zooms[across]))
    # Not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=(4 * len(slices) + 1.5, 4.4), layout="constrained")
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
    patches = [Patch(color=value_colour(value), label=names.get(value, str(value))) for value in present[:_MOST_NAMES]]
    if len(present) > _MOST_NAMES:
        patches.append(Patch(color="none", label=f"and {len(present) - _MOST_NAMES} more"))
    if patches:
        figure.legend(handles=patches, loc="outside right center", frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def slice_centre(label: np.ndarray) -> list[int]:
    """Return the index of the slice to show along every axis."""
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
    step = math.ceil((grey.size / _SAMPLE) ** (1 / grey.ndim))
    return grey[(slice(None, None, max(1, step)),) * grey.ndim]


def value_colour(value: int) -> tuple[float, float, float]:
    """Return the colour of a label value, (red, green, blue) in [0, 1]; it repeats after ten."""
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    return to_rgb(colours[(value + 2) % len(colours)])


def _coloured(label: np.ndarray, opacity: float) -> np.ndarray:
    picture = np.zeros((*label.shape, 4))
    for value in np.unique(label):
        if value:
            picture[label == value] = (*value_colour(int(value)), opacity)
    return picture


def segmentation_cards(
    example: Example, number: int, labels: Mapping[int, str], name: page.Naming, note: page.Noting
) -> page.Cards:
    """Return the cards of image, reference and every φ, and the key to their colours, see :attr:`Task.cards`."""
    image = example.plane(unit_intensity(example.images["image"]))
    shape, identity = image.shape, f"slice-{number}"
    values = _values(example, labels)
    scan = page.Picture(
        shape, [page.image_layer(grey_uri(image), shape, identity=identity)], f"slice of {example.name}"
    )
    cards = [page.Card("Image", [(None, scan)])]
    border = []
    # The scan is in the page once, however many cards show it.
    again = page.use_layer(identity)
    if "label" in example.images:
        reference = example.plane(example.images["label"])
        border = _border(outline(reference))
        drawn = page.Picture(shape, [again, _overlay(reference, values)], "the same slice with the reference")
        cards.append(page.Card("Reference", [(None, drawn)]))
    for phi in sorted(example.predictions):
        layers = [again, _overlay(example.plane(example.predictions[phi]), values), *border]
        drawn = page.Picture(shape, layers, f"the same slice segmented at {name(phi)}")
        cards.append(page.Card(name(phi), [(None, drawn)], note(phi), phi))
    return cards, _key(example, labels, values)


def _key(example: Example, labels: Mapping[int, str], values: list[int]) -> list[page.KeyEntry]:
    shown = [example.images.get("label"), *example.predictions.values()]
    present = {int(value) for array in shown if array is not None for value in np.unique(example.plane(array))}
    entries = []
    for position, value in enumerate(values):
        if value in present:
            square = page.Layer("rect", {"width": 10, "height": 10, "rx": 2, "fill": label_colour(position)})
            entries.append(
                page.KeyEntry(labels.get(value, f"label {value}"), page.Picture((10, 10), [square], kind="swatch"))
            )
    if "label" in example.images:
        entries.append(
            page.KeyEntry("border of the reference", page.Picture((10, 16), _border("M0 5h16"), kind="swatch line"))
        )
    return entries


def _border(d: str) -> list[page.Layer]:
    return [page.path_layer(d, "border under"), page.path_layer(d, "border")]


def _values(example: Example, labels: Mapping[int, str]) -> list[int]:
    arrays = [array for array in (example.images.get("label"), *example.predictions.values()) if array is not None]
    found = {int(value) for array in arrays for value in np.unique(array)} - {0}
    return [*labels, *sorted(found - set(labels))]


def _overlay(plane: np.ndarray, values: list[int]) -> page.Layer:
    return page.image_layer(labels_uri(plane, values), plane.shape, kind="overlay")
