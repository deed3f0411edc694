from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest
from pydantic import TypeAdapter

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.seen import SeenImages

PSR = np.array([[0, 0, 1.5, 3], [-1.0, 0, 0, 20], [0, 1.2, 0, 5], [0, 0, 0, 1]])
RAS = np.diag([1.0, 2.0, 1.0, 1.0])


def test_per_axis_in_ras_whatever_the_order_of_the_files() -> None:
    seen = SeenImages.of([((40, 30, 20), PSR), ((24, 10, 30), RAS), ((10, 11, 12), RAS)])
    # Of the first file axis 2 is R, axis 0 is A, axis 1 is S.
    assert seen.sizes == {"min": (10, 10, 12), "median": (20, 11, 30), "max": (24, 40, 30)}
    assert seen.spacing == {"min": (1, 1, 1), "median": (1, 2, 1), "max": (1.5, 2, 1.2)}
    assert seen.extent["max"] == (30, 40, 36) and seen.extent["min"] == (10, 20, 12)
    assert seen.orientation is None and seen.cases == 3
    assert SeenImages.of([((40, 30, 20), PSR)] * 2).orientation == "PSR"
    assert TypeAdapter(SeenImages).validate_json(json.dumps(dataclasses.asdict(seen))) == seen


def test_voxel_size_becomes_that_of_the_training_where_it_was_not_seen() -> None:
    seen = SeenImages.of([((40, 50, 30), np.diag([1.0, 1.0, step, 1.0])) for step in (2.0, 3.0, 2.2)])
    for spacing, expected in (
        ((1.0, 1.0, 2.5), None),
        ((1.04, 0.96, 3.1), None),
        ((1.1, 1.0, 2.5), (1.0, 1.0, 2.5)),
        ((0.5, 0.5, 5.0), (1.0, 1.0, 2.2)),
    ):
        assert seen.spacing_for(np.diag([*spacing, 1.0])) == expected
    # Of a network on axial slices the distance of the slices does not count.
    assert seen.spacing_for(np.diag([1.0, 1.0, 9.0, 1.0]), axes=2) is None
    turned = np.diag([5.0, 1.0, 1.0, 1.0])[[1, 2, 0, 3]]  # the thick axis of the file lies along S
    assert seen.spacing_for(turned) == (1.0, 1.0, 2.2)


@pytest.mark.parametrize(
    ("sizes", "spacing", "expected"),
    [
        ((20, 25, 18), (1, 1, 1), None),  # half the least extent
        ((60, 78, 60), (1, 1, 1), None),  # 1.5 times the greatest
        ((61, 52, 40), (1, 1, 1), "is 61 x 52 x 40 mm, but the network was trained on images of 40 x 50 to 52 x 36 to"),
        ((4, 5, 7), (1, 1, 1), "is 4 x 5 x 7 mm"),
        ((10, 12, 10), (4, 4, 4), None),
        ((9, 11, 9), (4.5, 4.5, 4.5), "has voxels of 4.5 x 4.5 x 4.5 mm, but the network was trained on voxels of 1 x"),
        ((400, 520, 400), (0.1, 0.1, 0.1), None),
    ],
)
def test_what_is_far_outside(sizes: tuple[int, ...], spacing: tuple[float, ...], expected: str | None) -> None:
    seen = SeenImages.of([((40, 50, 36), np.eye(4)), ((40, 52, 40), np.eye(4))])
    found = seen.unlike(sizes, np.diag([*spacing, 1.0]))
    assert found is None if expected is None else found is not None and found.startswith(expected)


def test_pictures_have_pixels() -> None:
    seen = SeenImages.of([((120, 100), None), ((90, 100), None)])
    assert seen.spacing is None and seen.spacing_for(np.eye(4)) is None
    assert seen.unlike((180, 150), np.eye(4), axes=2) is None
    assert seen.unlike((40, 100), np.eye(4), axes=2) == (
        "is 40 x 100 pixels, but the network was trained on images of 90 to 120 x 100 pixels"
    )


def test_an_error_or_with_force_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    seen = SeenImages.of([((40, 50, 36), np.eye(4))])
    assert seen.check("scan.nii", (40, 50, 36), np.eye(4)) is None
    # The number of axial slices does not count for a network on them.
    assert seen.unlike((40, 50, 1), np.eye(4), axes=2) is None and seen.unlike((10, 50, 36), np.eye(4), axes=2)
    with pytest.raises(ImageError, match=r"scan.nii is 256 x 256 x 256 mm, .* a crop of a larger one, or --force"):
        seen.check("scan.nii", (256,) * 3, np.eye(4))
    with caplog.at_level(logging.WARNING):
        assert "256" in str(seen.check("scan.nii", (256,) * 3, np.eye(4), force=True))
    assert "scan.nii is 256 x 256 x 256 mm" in caplog.text
