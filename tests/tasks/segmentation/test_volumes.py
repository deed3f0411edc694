from __future__ import annotations

import numpy as np
import pytest

from monai_hyperscale.data.labels import label_counts
from monai_hyperscale.tasks.segmentation.volumes import label_volumes


def test_against_a_sphere_of_known_volume() -> None:
    spacing = np.array([0.5, 0.8, 1.0])
    grid = np.stack(np.meshgrid(*(np.arange(60) - 29.5,) * 3, indexing="ij"), -1) * spacing
    ball = (np.linalg.norm(grid, axis=-1) < 10).astype(np.uint8)
    (volume,) = label_volumes(ball, np.diag([*spacing, 1]), {1: "ball"})
    assert volume["volume"] == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.01)


def test_volume_does_not_depend_on_orientation() -> None:
    label = np.zeros((4, 4, 4), np.uint8)
    label[:2, :2, 0] = 3
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2, 3, 0.5])
    (volume,) = label_volumes(label, affine, {3: "x"})
    assert (volume["voxels"], volume["volume"]) == (4, pytest.approx(12.0))


def test_absent_labels_are_zero_and_nameless_ones_left_out() -> None:
    absent, there = label_volumes(np.array([[[0, 5, 7]]]), np.eye(4), {7: "b", 2: "a"})
    assert absent == {"label": 2, "name": "a", "voxels": 0, "volume": 0.0}
    assert there == {"label": 7, "name": "b", "voxels": 1, "volume": 1.0}
    (pixels,) = label_volumes(np.ones((2, 3), int), None, {1: "cell"})
    assert (pixels["voxels"], pixels["volume"]) == (6, None)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int16, np.int32, np.int64])
def test_counts_are_those_of_numpy(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monai_hyperscale.data.labels._CHUNK", 100)
    label = np.random.default_rng(0).integers(0, 2 if dtype is bool else 90, (7, 11, 13)).astype(dtype) * dtype(1)
    for array in (label, np.asfortranarray(label), label[::-1, ::2].T):
        values, counts = np.unique(array, return_counts=True)
        assert label_counts(array) == dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_counts_of_the_greatest_values() -> None:
    assert label_counts(np.array([65535, 0, 65535], np.uint16)) == {0: 1, 65535: 2}
    assert label_counts(np.array([10**9, 3])) == {3: 1, 10**9: 1}
