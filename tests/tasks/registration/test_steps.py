import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_hyperscale.context import Context
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.registration import warp
from monai_hyperscale.tasks.registration.steps import PairMeasures, PreparePair, RegularizationWeight
from monai_hyperscale.training import FixedPhi, PhiSampler, phi_prior, validation_contexts

BOTH = {1: "core", 2: "rim"}


def test_moving_channels_come_first():
    batch = {"moving": torch.zeros(2, 3, 5, 4), "fixed": torch.ones(2, 3, 5, 4), "name": ["a to b", "b to a"]}
    batch["field"] = torch.zeros(2, 2, 5, 4)
    images, target = PreparePair()(batch, torch.device("cpu"), non_blocking=True, dtype=torch.float64)
    assert images.dtype == torch.float64 and images.shape == (2, 6, 5, 4)
    assert images[:, :3].max() == 0 and images[:, 3:].min() == 1
    assert set(target) == {"moving", "fixed", "field"}


def test_the_loss_has_the_weight_that_the_generator_sees():
    def weights(prior):
        loss, inferer, seen = RegistrationLoss(weight=7.0), PhiInferer(), []
        engine = Engine(lambda engine, batch: seen.append((inferer.context, loss.weight)))
        PhiSampler(prior, inferer).attach(engine)
        RegularizationWeight(loss).attach(engine)
        engine.run([0] * 20, max_epochs=1)
        return seen

    seen = weights(phi_prior(0.3, regularization=(0.2, 0.6)))
    assert all(context == {"phi": 0.3, "regularization": weight} for context, weight in seen)
    assert all(0.2 <= weight <= 0.6 for _, weight in seen) and len({weight for _, weight in seen}) == len(seen)
    assert {weight for _, weight in weights(FixedPhi(0.3))} == {7.0}


def test_lambda_is_drawn_evenly_and_alike_after_a_resume():
    prior, again = (phi_prior(None, seed=3, regularization=[0.0, 1.0]) for _ in range(2))
    drawn = [prior.contexts(iteration)[0]["regularization"] for iteration in range(1, 2001)]
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02) and max(drawn) > 0.99 and min(drawn) < 0.01
    assert prior.contexts(500, 4) == again.contexts(500, 4)
    # φ is what it would be without λ.
    assert prior.contexts(500)[0]["phi"] == phi_prior(None, seed=3)(500)


def test_every_level_draws_its_own_beside_lambda():
    prior = phi_prior(None, levels=3, regularization=[0.4, 0.4])
    (context,) = prior.contexts(1)
    assert len(set(context["phi"])) == 3 and context["regularization"] == 0.4
    phi = (0.5, 0.4, 0.3)
    expected = tuple(Context(phi=phi, regularization=weight) for weight in (0.1, 1))
    assert validation_contexts([phi], prior, regularization=[0.1, 1]) == expected
    for bad in ((0.5, 0.1), (-0.1, 0.5), (0.0, 1.5)):
        with pytest.raises(ValueError, match="0|low"):
            phi_prior(0.3, regularization=bad)


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
    ("labels", "known", "score"), [(BOTH, True, "error_removed"), (BOTH, False, "dice"), ({}, False, "correlation")]
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
