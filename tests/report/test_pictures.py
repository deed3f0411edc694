"""Pictures of examples: decoded, and compared with what they were made from."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.errors import ImageError
from monai_hyperscale.report import Example
from monai_hyperscale.report.cards import Card
from monai_hyperscale.report.examples import check_examples
from monai_hyperscale.report.pictures import (
    LABEL_COLOURS,
    colours_uri,
    filled,
    grey_uri,
    labels_uri,
    outline,
    reduced,
    unit_intensity,
)
from monai_hyperscale.report.view import View
from monai_hyperscale.search import Frontier
from monai_hyperscale.tasks.registration.pictures import registration_cards
from monai_hyperscale.tasks.segmentation.pictures import segmentation_cards
from tests.report.made_up import registration_results, segmentation_results

Read = Callable[[dict[str, Any]], Frontier]


def decoded(address: str, mode: str) -> np.ndarray:
    start = "data:image/png;base64,"
    assert address.startswith(start)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address[len(start) :]))).convert(mode))


def name(phi: tuple[float, ...]) -> str:
    return f"φ = {phi[0]:g}"


def drawn(card: Card, tag: str) -> list[Mapping[str, Any]]:
    return [layer.attributes for _, picture in card.pictures for layer in picture.layers if layer.tag == tag]


def hrefs(card: Card) -> list[str]:
    return [image["href"] for image in drawn(card, "image")]


def texts_of(card: Card) -> str:
    return "".join([card.title, card.note or "", *(name or "" for name, _ in card.pictures)])


def test_grey_values() -> None:
    plane = np.array([[0.0, 0.5], [1.0, 2.0]])
    np.testing.assert_array_equal(decoded(grey_uri(plane), "L"), [[0, 128], [255, 255]])


def test_labels_have_their_colours_and_the_rest_is_clear() -> None:
    plane = np.array([[0, 7, 0], [9, 7, 300]])
    pixels = decoded(labels_uri(plane, [7, 9]), "RGBA")
    first, second = ([int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in LABEL_COLOURS[:2])
    assert pixels[0, 1].tolist() == [*first, 153] and pixels[1, 0].tolist() == [*second, 153]
    assert (pixels[..., 3] == [[0, 153, 0], [153, 153, 0]]).all()  # 300 is none of the labels


def test_palette() -> None:
    pixels = decoded(colours_uri(np.array([[1, 0]]), [(0, 0, 0), (1, 0.5, 0)]), "RGB")
    assert pixels.tolist() == [[[255, 128, 0], [0, 0, 0]]]


def test_outline_is_where_labels_change() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (9, 7))
    edges = {
        (axis, r, c)
        for axis in (0, 1)
        for r in range(9 - (axis == 0))
        for c in range(7 - (axis == 1))
        if labels[r, c] != labels[r + (axis == 0), c + (axis == 1)]
    }
    drawn = set()
    for x, y, way, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", outline(labels)):
        for step in range(int(length)):
            drawn.add((0, int(y) - 1, int(x) + step) if way == "h" else (1, int(y) + step, int(x) - 1))
    assert drawn == edges and len(edges) > 20


def test_filled_covers_the_mask() -> None:
    mask = np.random.default_rng(0).random((6, 5)) > 0.5
    covered = np.zeros_like(mask)
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", filled(mask)):
        covered[int(y), int(x) : int(x) + int(width)] = True
    np.testing.assert_array_equal(covered, mask)


def test_large_slices_are_reduced() -> None:
    plane = np.repeat(np.repeat(np.arange(12.0).reshape(3, 4), 150, 0), 150, 1)
    small = reduced(plane)
    assert small.shape == (192, 256)
    np.testing.assert_allclose(small[::64, ::64][:, :4], np.arange(12.0).reshape(3, 4), atol=1e-4)
    np.testing.assert_array_equal(reduced(plane.astype(int), nearest=True)[32::64, 32::64], np.arange(12).reshape(3, 4))
    # The outline is in pixels of the plane all the same.
    assert {float(x) for x in re.findall(r"M([\d.]+) [\d.]+v", outline(plane))} == {150, 300, 450}


def test_slice_with_the_most_of_the_labels() -> None:
    label = np.zeros((6, 5, 8), int)
    label[:, :, 2] = 1  # 30 voxels of one label: √30 = 5.5
    label[:4, :, 5] = 1  # 20 and 10 of two: √20 + √10 = 7.6
    label[4:, :, 5] = 2
    assert Example("a", {"image": label, "label": label}, {(0.1,): label}).slice_index() == 5
    assert Example("a", {"image": label}, {(0.1,): np.where(label == 2, 0, label)}).slice_index() == 2
    empty = np.zeros_like(label)
    assert Example("a", {"image": label, "label": empty}, {(0.1,): empty}).slice_index() == 4


def test_volumes_have_anterior_up_and_images_keep_their_rows() -> None:
    volume = np.zeros((4, 6, 1))
    volume[1, 5] = 1  # far along the second axis, which is the patient's front in RAS
    example = Example("a", {"image": volume}, {(0.1,): volume})
    assert np.argwhere(example.plane(volume)).tolist() == [[0, 1]]
    picture = volume[..., 0]  # (width, height), as Pillow counts
    assert np.argwhere(Example("a", {"image": picture}, {(0.1,): picture}).plane(picture)).tolist() == [[5, 1]]


def test_segmentation_cards() -> None:
    rng = np.random.default_rng(0)
    image, label = rng.random((9, 7)), rng.integers(0, 3, (9, 7))
    predictions = {(0.3,): np.roll(label, 1, 0), (0.1,): np.roll(label, 1, 1)}
    example = Example("a", {"image": image, "label": label}, predictions)
    cards, entries = segmentation_cards(example, 4, {1: "one", 2: "two"}, name, lambda phi: f"Dice {phi[0]}")
    titles = [texts_of(card) for card in cards]
    assert titles == ["Image", "Reference", "φ = 0.1Dice 0.1", "φ = 0.3Dice 0.3"]
    np.testing.assert_array_equal(decoded(hrefs(cards[0])[0], "L"), (unit_intensity(image).T * 255).round())
    for card, expected in zip(cards[1:], (label, predictions[(0.1,)], predictions[(0.3,)]), strict=True):
        (overlay,) = hrefs(card)
        assert [use["href"] for use in drawn(card, "use")] == ["#slice-4"]
        np.testing.assert_array_equal(decoded(overlay, "RGBA")[..., 3] > 0, expected.T > 0)
    assert {path["d"] for path in drawn(cards[2], "path")} == {outline(label.T)}
    key = "".join(entry.text for entry in entries)
    assert key == "onetwoborder of the reference"


def test_registration_cards() -> None:
    rng = np.random.default_rng(0)
    fixed = rng.random((12, 10))
    moving = np.roll(fixed, 2, 0)  # moving(x + 2) = fixed(x)
    shift = np.zeros((2, 12, 10))
    shift[0] = 2
    folding = shift.copy()
    folding[1, :, 4] = -3  # columns that land before those in front of them
    example = Example("a", {"moving": moving, "fixed": fixed}, {(0.1,): shift, (0.2,): folding})
    cards, _ = registration_cards(example, 0, {}, name, lambda phi: None)
    assert len(cards) == 3
    moved, difference, jacobian = hrefs(cards[1])
    inside = slice(0, 9)  # the last columns of the picture have no moving image to come from
    np.testing.assert_array_equal(decoded(moved, "L")[:, inside], decoded(hrefs(cards[0])[0], "L")[:, inside])
    assert (np.ptp(decoded(difference, "RGB")[:, inside].reshape(-1, 3), axis=0) == 0).all()
    assert (np.ptp(decoded(jacobian, "RGB").reshape(-1, 3), axis=0) == 0).all()  # 1 everywhere
    texts = [texts_of(card) for card in cards]
    assert "none folded" in texts[1] and "20" not in texts[1]

    # Central differences: the determinant is 1 + (u[y+1] - u[y-1]) / 2 along the second axis.
    gradient = np.gradient(folding[1], axis=1)
    folded = 1 + gradient <= 0
    assert folded.sum() == 12 and f"{folded.sum()} folded, {folded.sum()} here" in texts[2]
    marked = [path["d"] for path in drawn(cards[2], "path") if path["class"] == "folded"]
    assert marked == [filled(folded.T)]
    grid = next(path["d"] for path in drawn(cards[1], "path") if path["class"] == "grid")
    assert grid.startswith("M2.5 0.5L3.5 0.5")  # voxel (0, 0) has its middle at 0.5 and goes two further


@pytest.mark.parametrize(
    ("images", "shape", "message"),
    [
        ({"moving": (4, 4), "fixed": (4, 5)}, (2, 4, 5), "the fixed of example a has shape"),
        ({}, (4,), "no image"),
        ({"image": (4,)}, (4,), "2 or 3 axes"),
        ({"image": (4, 0)}, (4, 0), "2 or 3 axes"),
    ],
)
def test_examples_that_do_not_fit(images: dict[str, tuple[int, ...]], shape: tuple[int, ...], message: str) -> None:
    arrays = {kind: np.zeros(sizes) for kind, sizes in images.items()}
    with pytest.raises(ImageError, match=message):
        Example("a", arrays, {(0.3,): np.zeros(shape)})
    with pytest.raises(ImageError):
        Example("a", arrays, {})


@pytest.mark.parametrize(
    ("results", "images", "shape", "message"),
    [
        (segmentation_results, {"image": (4, 4)}, (4, 5), r"at φ = 0.3 has shape \[4, 5\]; \[4, 4\] is needed"),
        (registration_results, {"moving": (4, 4), "fixed": (4, 4)}, (4, 4), r"\[2, 4, 4\] is needed"),
        (registration_results, {"fixed": (4, 4)}, (2, 4, 4), "needs the images moving and fixed, got fixed"),
        (segmentation_results, {"image": (4, 4), "mask": (4, 4)}, (4, 4), "needs the images image"),
    ],
)
def test_examples_that_do_not_fit_the_task(
    as_frontier: Read, results: Any, images: dict[str, tuple[int, ...]], shape: tuple[int, ...], message: str
) -> None:
    example = Example("a", {kind: np.zeros(sizes) for kind, sizes in images.items()}, {(0.3,): np.zeros(shape)})
    with pytest.raises(ImageError, match=message):
        check_examples(View(as_frontier(results(5, 2))), [example])
