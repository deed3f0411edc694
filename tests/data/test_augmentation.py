from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_hyperscale.data import augmentation

STEPS = ("distortion", "noise", "blur", "zoom", "bias", "gamma", "contrast", "brightness")
NEVER = dict.fromkeys(STEPS, 0.0)
STILL = {"rotate": 0.0, "scale": 0.0, "translate": 0.0, "probability": NEVER}


def _case(sizes, channels=1, metadata=True):
    """Return a ball of class 1 in a bright square frame of class 2, with the image equal to the label."""
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in sizes), indexing="ij"))
    label = torch.zeros(sizes)
    label[grid.abs().amax(0) < 0.8] = 2.0
    label[grid.norm(dim=0) < 0.6] = 1.0
    image = label.expand(channels, *sizes).clone()
    label = label[None].to(torch.uint8)
    return {"image": MetaTensor(image) if metadata else image, "label": MetaTensor(label) if metadata else label}


@pytest.mark.parametrize("sizes", [(31, 43), (1, 9), (35, 51, 36), (40, 1, 7)])
@pytest.mark.parametrize(("metadata", "channels"), [(True, 1), (False, 3)])
def test_what_comes_out(sizes, metadata, channels):
    roi = (24, 32, 16)[: len(sizes)]
    augment = augmentation(len(sizes), roi).set_random_state(0)
    for _ in range(4):
        out = augment(_case(sizes, channels, metadata))
        assert out["image"].shape == (channels, *roi) and out["label"].shape == (1, *roi)
        assert out["image"].dtype == torch.float32 and out["label"].dtype == torch.int64
        assert not isinstance(out["image"], MetaTensor) and not isinstance(out["label"], MetaTensor)
        assert out["image"].isfinite().all()
        assert set(out["label"].unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("sizes", [(24, 31), (24, 31, 17)])
def test_nothing_changes_when_everything_is_off(sizes):
    case = _case(sizes)
    out = augmentation(len(sizes), sizes, **STILL)(case)
    torch.testing.assert_close(out["image"], case["image"].as_tensor(), atol=1e-4, rtol=0)
    assert torch.equal(out["label"], case["label"].as_tensor().long())


@pytest.mark.parametrize("sizes", [(48, 48), (32, 32, 32)])
def test_label_follows_image(sizes):
    augment = augmentation(len(sizes), sizes, probability={**NEVER, "distortion": 1.0}).set_random_state(1)
    case = _case(sizes)
    moved = 0
    for _ in range(5):
        out = augment(case)
        # The image is the label, so away from edges they must still be equal.
        inner = (out["image"] - out["image"].round()).abs() < 1e-3
        agreement = (out["image"].round() == out["label"])[inner].float().mean()
        assert agreement > 0.97
        moved += int((out["label"] != case["label"].as_tensor()).float().mean() > 0.02)
    assert moved == 5


def test_beyond_the_border_image_and_label_go_on():
    case = {"image": torch.full((1, 10, 10), 5.0), "label": torch.full((1, 10, 10), 2, dtype=torch.uint8)}
    out = augmentation(2, (30, 30), **{**STILL, "rotate": 0.26})(case)
    torch.testing.assert_close(out["image"], torch.full((1, 30, 30), 5.0))
    assert out["label"].unique().tolist() == [2]


def test_intensities_only():
    case = _case((20, 20, 20))
    every = {"probability": {**dict.fromkeys(STEPS, 1.0), "distortion": 0.0}}
    out = augmentation(3, (20, 20, 20), **{**STILL, **every}).set_random_state(0)(case)
    assert torch.equal(out["label"], case["label"].as_tensor().long())
    change = (out["image"] - case["image"].as_tensor()).abs().mean()
    assert 0.01 < change < 1.0


def test_large_images_are_cropped_around_structures():
    sizes = (120, 120, 60)
    label = torch.zeros(1, *sizes, dtype=torch.uint8)
    label[0, 100:104, 5:9, 50:54] = 1
    case = {"image": label.float(), "label": label}
    hits = [
        sum(bool(augment(case)["label"].any()) for _ in range(10))
        for augment in (
            augmentation(3, (16, 16, 16), foreground=share, **STILL).set_random_state(0)
            for share in (1.0, 0.5, 0.0, None)
        )
    ]
    assert hits[0] == 10 and 2 <= hits[1] <= 9 and hits[2] <= 2 and hits[3] == 0


def test_flips_only_the_axes_asked_for():
    case = {"image": torch.arange(12.0).reshape(1, 3, 4), "label": torch.zeros(1, 3, 4)}
    augment = augmentation(2, (3, 4), flip=(1,), **STILL).set_random_state(0)
    results = {tuple(augment(case)["image"].round().flatten().int().tolist()) for _ in range(20)}
    assert results == {tuple(range(12)), tuple(case["image"].flip(2).flatten().int().tolist())}


def test_the_same_seed_gives_the_same_samples():
    case = _case((20, 24))
    first, second = ([augment(case)["image"] for _ in range(3)] for augment in map(_seeded, (5, 5)))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], _seeded(6)(case)["image"])


def _seeded(seed):
    return augmentation(2, (16, 16)).set_random_state(seed)


def test_input_is_kept_and_one_number_is_a_square():
    case = _case((16, 16), metadata=False)
    before = {key: value.clone() for key, value in case.items()}
    assert augmentation(2, 12).set_random_state(0)(case)["image"].shape == (1, 12, 12)
    assert all(torch.equal(case[key], before[key]) for key in case)


@pytest.mark.parametrize(("dims", "roi"), [(1, (8,)), (4, (8,) * 4), (3, (8, 8)), (2, (8, 0))])
def test_bad_sizes(dims, roi):
    with pytest.raises(ValueError, match="got"):
        augmentation(dims, roi)


def test_probability_of_what_is_not_there():
    with pytest.raises(ValueError, match="probability is of distortion, noise.* got 'blurr'"):
        augmentation(2, 8, probability={"blurr": 0.1})
