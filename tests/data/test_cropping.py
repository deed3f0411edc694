from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_hyperscale.data import RandForegroundCropd, slice_sampling

KEYS = ("image", "label")


def _case(sizes, *voxels):
    """Return an image that holds each voxel's own number, and a label with one voxel per class."""
    image = torch.arange(int(np.prod(sizes)), dtype=torch.float32).reshape(1, *sizes)
    label = torch.zeros(1, *sizes, dtype=torch.uint8)
    for index, voxel in enumerate(voxels, start=1):
        label[(0, *voxel)] = index
    return {"image": image, "label": label, "name": "a"}


def _origin(crop, sizes):
    return np.unravel_index(int(crop["image"].flatten()[0]), sizes)


@pytest.mark.parametrize("sizes", [(20, 17), (20, 17, 9)])
@pytest.mark.parametrize("box", [5, 8])
def test_image_and_label_are_cut_from_one_box_that_shows_foreground(sizes, box):
    corners = [tuple(0 for _ in sizes), tuple(n - 1 for n in sizes)]
    case = _case(sizes, *corners)
    crop = RandForegroundCropd(KEYS, "label", (box,) * len(sizes), foreground=1.0).set_random_state(0)
    seen = set()
    for _ in range(20):
        out = crop(case)
        start = _origin(out, sizes)
        region = (0, *(slice(s, s + box) for s in start))
        assert torch.equal(out["image"][0], case["image"][region])
        assert torch.equal(out["label"][0], case["label"][region])
        assert out["image"].shape[1:] == (box,) * len(sizes)
        seen.update(out["label"].unique().tolist())
    assert seen == {0, 1, 2}
    assert out["name"] == "a"


def test_classes_are_drawn_alike_whatever_their_size():
    case = _case((40, 40), (2, 2))
    case["label"][0, 20:] = 2
    crop = RandForegroundCropd(KEYS, "label", (3, 3), foreground=1.0).set_random_state(0)
    small = sum(bool((crop(case)["label"] == 1).any()) for _ in range(200))
    assert 70 < small < 130


@pytest.mark.parametrize(("foreground", "voxels"), [(0.0, [(1, 1)]), (1.0, [])])
def test_without_foreground_every_place_is_alike(foreground, voxels):
    case = _case((6, 5), *voxels)
    crop = RandForegroundCropd(KEYS, "label", (3, 4), foreground=foreground).set_random_state(0)
    starts = [_origin(crop(case), (6, 5)) for _ in range(800)]
    counts = np.zeros((4, 2), int)
    for start in starts:
        counts[start] += 1
    assert counts.min() > 60 and counts.max() < 140


def test_axes_that_fit_are_kept_and_nothing_is_drawn():
    case = _case((6, 20), (1, 1))
    crop = RandForegroundCropd(KEYS, "label", (8, -1), foreground=0.5).set_random_state(0)
    state = crop.R.get_state()[2]
    out = crop(case)
    assert torch.equal(out["image"], case["image"]) and crop.R.get_state()[2] == state
    out = RandForegroundCropd(KEYS, "label", (8, 7), foreground=0.5)(case)
    assert out["image"].shape == (1, 6, 7)


def test_the_same_seed_gives_the_same_crops():
    case = _case((30, 30, 30), (3, 4, 5), (20, 20, 20))
    crops = [RandForegroundCropd(KEYS, "label", (8, 8, 8)).set_random_state(3) for _ in range(2)]
    first, second = ([crop(case) for _ in range(6)] for crop in crops)
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(first, second, strict=True))
    assert len({float(sample["image"].flatten()[0]) for sample in first}) > 1


def test_affine_follows_the_crop():
    case = _case((12, 12, 12), (8, 8, 8))
    case["image"] = MetaTensor(case["image"], affine=np.diag([2.0, 2.0, 3.0, 1.0]))
    out = RandForegroundCropd(KEYS, "label", (4, 4, 4), foreground=1.0)(case)
    start = np.array(_origin(out, (12, 12, 12)))
    np.testing.assert_allclose(out["image"].affine[:3, 3], start * [2.0, 2.0, 3.0])


def test_slices_are_axial_and_mostly_show_a_structure():
    sizes = (7, 6, 30)
    case = _case(sizes, (3, 3, 4))
    case["image"] = MetaTensor(case["image"])
    sampling = slice_sampling(foreground=0.5).set_random_state(0)
    slices = [sampling(case) for _ in range(40)]
    for sample in slices:
        position = int(_origin(sample, sizes)[2])
        assert torch.equal(sample["image"].as_tensor(), case["image"].as_tensor()[..., position])
        assert torch.equal(torch.as_tensor(sample["label"]), case["label"][..., position])
    assert 10 <= sum(bool(sample["label"].any()) for sample in slices) <= 32
    assert slices[0]["image"].shape == (1, 7, 6)


@pytest.mark.parametrize("options", [{"foreground": -0.1}, {"foreground": 1.1}])
def test_bad_options(options):
    with pytest.raises(ValueError, match="got"):
        RandForegroundCropd(KEYS, "label", (3, 3), **options)
