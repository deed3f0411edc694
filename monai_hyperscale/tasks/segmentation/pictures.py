"""Segmented slices: the image, the reference and what the network says at several φ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Optional
from xml.etree import ElementTree

import numpy as np

from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.markup import element
from monai_hyperscale.report.pictures import (
    grey_uri,
    image_layer,
    label_colour,
    labels_uri,
    outline,
    picture,
    unit_intensity,
)

__all__ = ["segmentation_cards", "segmentation_key"]


def segmentation_cards(
    example: Example,
    number: int,
    labels: Mapping[int, str],
    name: Callable[[tuple[float, ...]], str],
    note: Callable[[tuple[float, ...]], Optional[str]],
) -> list[ElementTree.Element]:
    """Return the cards of one example: the image, the reference, and one card for each φ.

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
    reference = example.plane(example.images["label"]) if "label" in example.images else None
    cards = [
        _card(
            "Image",
            None,
            picture(shape, f"slice of {example.name}", image_layer(grey_uri(image), shape, identity=identity)),
        )
    ]
    border = None
    if reference is not None:
        border = outline(reference)
        drawn = picture(shape, "the same slice with the reference", _again(identity), _overlay(reference, values))
        cards.append(_card("Reference", None, drawn))
    for phi in sorted(example.predictions):
        layers = [_again(identity), _overlay(example.plane(example.predictions[phi]), values)]
        if border is not None:
            layers += [element("path", d=border, class_="border under"), element("path", d=border, class_="border")]
        drawn = picture(shape, f"the same slice segmented at {name(phi)}", *layers)
        cards.append(_card(name(phi), note(phi), drawn, phi))
    return cards


def segmentation_key(example: Example, labels: Mapping[int, str]) -> ElementTree.Element:
    """Return the colours of the labels that an example shows."""
    values = _values(example, labels)
    shown = [example.images.get("label"), *example.predictions.values()]
    present = {int(value) for array in shown if array is not None for value in np.unique(example.plane(array))}
    entries = [
        element("li", swatch(label_colour(position)), labels.get(value, f"label {value}"))
        for position, value in enumerate(values)
        if value in present
    ]
    if "label" in example.images:
        line = element(
            "svg",
            element("path", d="M0 5h16", class_="border under"),
            element("path", d="M0 5h16", class_="border"),
            viewBox="0 0 16 10",
            class_="swatch line",
            aria_hidden="true",
        )
        entries.append(element("li", line, "border of the reference"))
    return element("ul", entries, class_="key")


def swatch(colour: str) -> ElementTree.Element:
    """Return a small square of a colour."""
    square = element("rect", width=10, height=10, rx=2, fill=colour)
    return element("svg", square, viewBox="0 0 10 10", class_="swatch", aria_hidden="true")


def _values(example: Example, labels: Mapping[int, str]) -> list[int]:
    arrays = [array for array in (example.images.get("label"), *example.predictions.values()) if array is not None]
    found = {int(value) for array in arrays for value in np.unique(array)} - {0}
    return [*labels, *sorted(found - set(labels))]


def _again(identity: str) -> ElementTree.Element:
    # The scan is in the page once, however many cards show it.
    return element("use", href=f"#{identity}")


def _overlay(plane: np.ndarray, values: list[int]) -> ElementTree.Element:
    return image_layer(labels_uri(plane, values), plane.shape, kind="overlay")


def _card(
    title: str, note: Optional[str], drawn: ElementTree.Element, phi: tuple[float, ...] = ()
) -> ElementTree.Element:
    caption = element("figcaption", element("b", title), element("span", note) if note else None)
    return element("figure", caption, drawn, class_="card", data_phi=",".join(map(str, phi)) or None)
