import numpy as np
import pytest
import torch

from monai_hyperscale.registration import warp
from monai_hyperscale.tasks.registration.steps import PairMeasures

BOTH = {1: "core", 2: "rim"}


def pair(dims, shift=2):
    """A moving image, the same shifted by some voxels along the first axis, and what both show."""
    sizes = (17, 11, 9)[:dims]
    generator = torch.Generator().manual_seed(0)
    moving = torch.rand(1, 1, *sizes, generator=generator)
    label = torch.zeros(1, 1, *sizes)
    label[(0, 0, *[slice(4, 8)] * dims)] = 1
    label[(0, 0, *[slice(1, 3)] * dims)] = 2
    field = torch.zeros(1, dims, *sizes)
    field[:, 0] = shift
    return {
        "moving": moving,
        "fixed": warp(moving, field),
        "moving_label": label,
        "fixed_label": warp(label, field, mode="nearest"),
        "field": field,
    }


def named(measures, field, batch):
    return dict(zip(measures.names, measures(field, batch)[0].tolist(), strict=True))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_true_field_is_perfect_and_none_is_what_it_was(dims):
    batch = pair(dims)
    true, nothing = batch["field"], torch.zeros_like(batch["field"])
    measures = PairMeasures(BOTH, known_fields=True)
    perfect, none = named(measures, true, batch), named(measures, nothing, batch)
    assert perfect == {"error_before": 2, "error": 0} and none == {"error_before": 2, "error": 2}
    assert measures.aggregate() == pytest.approx(0.5)  # the error of one of two pairs is gone
    assert named(PairMeasures(BOTH), true, batch) == {"dice core": 1, "dice rim": 1}
    assert named(PairMeasures(BOTH), nothing, batch)["dice core"] == 0.5
    assert named(PairMeasures({}), true, batch)["correlation"] == pytest.approx(1)
    expected = np.corrcoef(batch["moving"].flatten(), batch["fixed"].flatten())[0, 1]
    assert named(PairMeasures({}), nothing, batch)["correlation"] == pytest.approx(expected, abs=1e-6)


def test_a_label_in_neither_image_has_no_dice():
    batch = pair(2)
    measures = PairMeasures({1: "core", 3: "nowhere"})
    found = named(measures, batch["field"], batch)
    assert np.isnan(found["dice nowhere"]) and found["dice core"] == 1
    assert measures.aggregate() == 1


@pytest.mark.parametrize(
    ("labels", "known", "score"),
    [(BOTH, True, "error_removed"), (BOTH, False, "dice"), ({}, False, "correlation")],
)
def test_the_score_is_the_best_there_is(labels, known, score):
    batch = pair(2)
    measures = PairMeasures(labels, known)
    measures(torch.cat([batch["field"], batch["field"]]), {name: torch.cat([v, v]) for name, v in batch.items()})
    assert measures.score == score and measures.get_buffer().shape == (2, len(measures.names))
    assert measures.aggregate() == pytest.approx(1, abs=1e-6)


def test_half_precision_and_constant_images():
    flat = {"moving": torch.ones(1, 1, 5, 4), "fixed": torch.ones(1, 1, 5, 4)}
    measures = PairMeasures({})
    row = measures(torch.zeros(1, 2, 5, 4, dtype=torch.bfloat16), flat)
    # Images of one value have no correlation.
    assert row.dtype == torch.float64 and bool(row.isnan().all()) and measures.aggregate() == 0
