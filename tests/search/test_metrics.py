import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.metrics import METRICS, correlation, metric_named
from tests.itk_overlap import label_dice

SPACING = (1.0, 2.0)


def box(y, x, size=6, sizes=(24, 20)):
    label = torch.zeros(1, *sizes, dtype=torch.int16)
    label[0, y : y + size, x : x + size] = 1
    return label


def edge_points(label):
    """Return where the box has a neighbour outside, in millimetres."""
    mask = np.pad(label[0].numpy() > 0, 1)
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return np.argwhere(mask[1:-1, 1:-1] & ~inner) * SPACING


def references(a, b):
    distances = cdist(edge_points(a), edge_points(b))
    there, back = distances.min(1), distances.min(0)
    shared, first, second = float((a & b).sum()), float(a.sum()), float(b.sum())
    return {
        "dice": label_dice(a[0].numpy(), b[0].numpy())[1],
        "iou": shared / (first + second - shared),
        "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
        "hausdorff": max(there.max(), back.max()),
        "assd": np.concatenate([there, back]).mean(),
        "sensitivity": shared / second,
        "precision": shared / first,
        "surface_dice": ((there <= 1).sum() + (back <= 1).sum()) / (len(there) + len(back)),
    }


@pytest.mark.parametrize("key", METRICS)
def test_every_metric_is_what_its_definition_says(key):
    a, b = box(3, 4), box(5, 3, size=8)
    found = METRICS[key](a, b, (1,), SPACING)[0]
    # MONAI counts the points of a boundary for surface Dice by their length.
    assert found == pytest.approx(references(a, b)[key], abs=0.05 if key == "surface_dice" else 1e-6)
    assert METRICS[key](a, a, (1,), SPACING)[0] == (1 if METRICS[key].higher_is_better else 0)


@pytest.mark.parametrize("shape", [(1, 9, 8), (1, 7, 6, 5)])
def test_dice_of_many_labels_is_simpleitks(shape):
    rng = np.random.default_rng(0)
    values = (1, 4, 700, 2**24 + 1)
    predicted, reference = (rng.choice([0, *values], shape) for _ in range(2))
    wanted = label_dice(predicted[0], reference[0])
    found = METRICS["dice"](torch.from_numpy(predicted), torch.from_numpy(reference), values)
    assert dict(zip(values, found, strict=True)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("key", METRICS)
def test_a_label_that_is_not_found_scores_worst_and_one_that_is_not_there_nothing(key):
    nothing = torch.zeros_like(box(3, 4))
    worst = 0 if METRICS[key].higher_is_better else math.hypot(24, 40)
    assert METRICS[key](nothing, box(3, 4), (1, 2), SPACING) == [pytest.approx(worst), None]
    assert METRICS[key](box(3, 4), nothing, (1,)) == [None]


def test_distances_of_volumes_are_in_millimetres():
    a, b = torch.zeros(1, 9, 9, 9), torch.zeros(1, 9, 9, 9)
    a[0, 4, 4, 2] = b[0, 4, 4, 6] = 1
    assert METRICS["hausdorff"](a, b, (1,), (1, 1, 2.5)) == [10]
    assert METRICS["hausdorff"](a, b, (1,)) == [4]
    assert metric_named("surface_dice", 10)(a, b, (1,), (1, 1, 2.5)) == [1]
    assert metric_named("surface_dice", 9)(a, b, (1,), (1, 1, 2.5)) == [0]


@pytest.mark.parametrize(
    ("name", "tolerance", "message"),
    [
        ("dicee", None, "did you mean dice"),
        ("__import__('os')", None, "known are dice, iou"),
        ("dice", 2.0, "takes no tolerance"),
        ("surface_dice", -1.0, "at least 0"),
    ],
)
def test_wrong_metrics_are_told(name, tolerance, message):
    with pytest.raises(FrontierError, match=message):
        metric_named(name, tolerance)
    assert metric_named("Surface-Dice").key == "surface_dice"


@pytest.mark.parametrize("shape", [(1, 9, 8), (3, 9, 8), (2, 5, 6, 7)])
def test_correlation_is_numpys_of_every_channel(shape):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, *shape))
    second += 0.5 * first + 100 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    wanted = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    found = correlation(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(np.mean(wanted), abs=1e-12)


def test_channels_of_other_means_do_not_count_as_likeness():
    rng = np.random.default_rng(0)
    offsets = np.array([0, 100])[:, None, None]
    first, second = rng.normal(size=(2, 2, 50, 50)) + offsets
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99  # of all voxels together
    assert abs(correlation(torch.from_numpy(first), torch.from_numpy(second)) or 1) < 0.1


def test_a_channel_of_one_value_has_none():
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(2, 6, 5, generator=rng)
    flat = torch.cat([image[:1], torch.full((1, 6, 5), 0.1)])
    assert correlation(image, flat) == pytest.approx(1)
    assert correlation(torch.full((1, 6, 5), 0.1), image[:1]) is None


def test_correlation_of_half_precision_is_measured_in_double():
    image = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    wanted = np.corrcoef(image.double().ravel(), image.double().ravel() ** 2)[0, 1]
    assert correlation(image, image.double() ** 2) == pytest.approx(wanted, abs=1e-9)
