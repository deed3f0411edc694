"""Classified images: the image, and what the network takes it for at several φ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from monai_hyperscale.report.cards import Card, Cards, KeyEntry, Layer, Naming, Noting, Picture, image_layer, use_layer
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.pictures import grey_uri, label_colour, unit_intensity

# Pixels of a picture's height that the bar of probabilities takes.
_BAR = 0.08


def classification_cards(example: Example, number: int, labels: Mapping[int, str], name: Naming, note: Noting) -> Cards:
    """Return one card for each φ with the probabilities as a bar, and their colours, see :attr:`Task.cards`."""
    image = example.plane(unit_intensity(example.images["image"]))
    identity = f"slice-{number}"
    scan = Picture(image.shape, [image_layer(grey_uri(image), image.shape, identity=identity)], example.name)
    cards = [Card("Image", [(None, scan)])]
    names = list(labels.values())
    for phi, shares in sorted(example.predictions.items()):
        best = int(np.argmax(shares))
        told = f"{names[best]}, {100 * float(shares[best]):.0f} %"
        drawn = Picture(image.shape, [use_layer(identity), *_bar(shares, image.shape)], f"{told} at {name(phi)}")
        cards.append(Card(name(phi), [(told, drawn)], note(phi), phi))
    swatches = [Picture((10, 10), [_box(0, 0, 10, 10, label_colour(n))], kind="swatch") for n in range(len(names))]
    return cards, [KeyEntry(text, swatch) for text, swatch in zip(names, swatches, strict=True)]


def _bar(shares: np.ndarray, shape: tuple[int, ...]) -> list[Layer]:
    rows, columns = shape
    starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    return [
        _box(columns * float(start), rows * (1 - _BAR), columns * float(share), rows * _BAR, label_colour(place))
        for place, (start, share) in enumerate(zip(starts, shares, strict=True))
    ]


def _box(x: float, y: float, width: float, height: float, colour: str) -> Layer:
    size = {"x": round(x, 2), "y": round(y, 2), "width": round(width, 2), "height": round(height, 2)}
    return Layer("rect", {**size, "fill": colour})
