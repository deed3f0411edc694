"""Segmented slices: the image, the reference and what the network says at several φ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional

import numpy as np

from monai_hyperscale.report.cards import Card, KeyEntry, Layer, Picture, image_layer, path_layer, use_layer
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.pictures import grey_uri, label_colour, labels_uri, outline, unit_intensity

__all__ = ["segmentation_cards"]


def segmentation_cards(
    example: Example,
    number: int,
    labels: Mapping[int, str],
    name: Callable[[tuple[float, ...]], str],
    note: Callable[[tuple[float, ...]], Optional[str]],
) -> tuple[list[Card], list[KeyEntry]]:
    """Return the cards of one example, the image, the reference, and one for each φ, and the key to their colours.

    Args:
        example: of segmentation.
        number: of the example in the page.
        labels: value to name, in the order of their colours.
        name: φ in words.
        note: what stands under the picture of a φ.
    """
    image = example.plane(unit_intensity(example.images["image"]))
    shape, identity = image.shape, f"slice-{number}"
    values = _values(example, labels)
    scan = Picture(shape, [image_layer(grey_uri(image), shape, identity=identity)], f"slice of {example.name}")
    cards = [Card("Image", [(None, scan)])]
    border = []
    # The scan is in the page once, however many cards show it.
    again = use_layer(identity)
    if "label" in example.images:
        reference = example.plane(example.images["label"])
        border = _border(outline(reference))
        drawn = Picture(shape, [again, _overlay(reference, values)], "the same slice with the reference")
        cards.append(Card("Reference", [(None, drawn)]))
    for phi in sorted(example.predictions):
        layers = [again, _overlay(example.plane(example.predictions[phi]), values), *border]
        drawn = Picture(shape, layers, f"the same slice segmented at {name(phi)}")
        cards.append(Card(name(phi), [(None, drawn)], note(phi), phi))
    return cards, _key(example, labels, values)


def _key(example: Example, labels: Mapping[int, str], values: list[int]) -> list[KeyEntry]:
    """Return the colours of the labels that an example shows."""
    shown = [example.images.get("label"), *example.predictions.values()]
    present = {int(value) for array in shown if array is not None for value in np.unique(example.plane(array))}
    entries = [
        KeyEntry(labels.get(value, f"label {value}"), _swatch(label_colour(position)))
        for position, value in enumerate(values)
        if value in present
    ]
    if "label" in example.images:
        entries.append(KeyEntry("border of the reference", Picture((10, 16), _border("M0 5h16"), kind="swatch line")))
    return entries


def _swatch(colour: str) -> Picture:
    return Picture((10, 10), [Layer("rect", {"width": 10, "height": 10, "rx": 2, "fill": colour})], kind="swatch")


def _border(d: str) -> list[Layer]:
    return [path_layer(d, "border under"), path_layer(d, "border")]


def _values(example: Example, labels: Mapping[int, str]) -> list[int]:
    arrays = [array for array in (example.images.get("label"), *example.predictions.values()) if array is not None]
    found = {int(value) for array in arrays for value in np.unique(array)} - {0}
    return [*labels, *sorted(found - set(labels))]


def _overlay(plane: np.ndarray, values: list[int]) -> Layer:
    return image_layer(labels_uri(plane, values), plane.shape, kind="overlay")
