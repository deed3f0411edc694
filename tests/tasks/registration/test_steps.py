import pytest
import torch
from ignite.engine import Engine

from monai_hyperscale.context import Context
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.tasks.registration.steps import PreparePair, RegularizationWeight
from monai_hyperscale.training import FixedPhi, PhiSampler, phi_prior, validation_contexts


def test_moving_channels_come_first():
    batch = {"moving": torch.zeros(2, 3, 5, 4), "fixed": torch.ones(2, 3, 5, 4), "name": ["a to b", "b to a"]}
    batch["field"] = torch.zeros(2, 2, 5, 4)
    images, target = PreparePair()(batch, torch.device("cpu"), non_blocking=True, dtype=torch.float64)
    assert images.dtype == torch.float64 and images.shape == (2, 6, 5, 4)
    assert images[:, :3].max() == 0 and images[:, 3:].min() == 1
    assert set(target) == {"moving", "fixed", "field"}


def weights(prior, steps=20):
    loss = RegistrationLoss(weight=7.0, balance=False)
    inferer, seen = PhiInferer(), []
    engine = Engine(lambda engine, batch: seen.append((inferer.context, loss.weight)))
    PhiSampler(prior, inferer).attach(engine)
    RegularizationWeight(loss).attach(engine)
    engine.run([0] * steps, max_epochs=1)
    return seen


def test_the_loss_has_the_weight_that_the_generator_sees():
    seen = weights(phi_prior(0.3, regularization=(0.2, 0.6)))
    assert all(context == {"phi": 0.3, "regularization": weight} for context, weight in seen)
    assert all(0.2 <= weight <= 0.6 for _, weight in seen)
    assert len({weight for _, weight in seen}) == len(seen)


def test_without_a_range_the_weight_stays():
    assert {weight for _, weight in weights(FixedPhi(0.3))} == {7.0}


def test_lambda_is_drawn_evenly_and_alike_after_a_resume():
    prior = phi_prior(None, seed=3, regularization=[0.0, 1.0])
    drawn = [prior.contexts(iteration)[0]["regularization"] for iteration in range(1, 2001)]
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02) and max(drawn) > 0.99 and min(drawn) < 0.01
    again = phi_prior(None, seed=3, regularization=[0.0, 1.0])
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


@pytest.mark.parametrize("bad", [(0.5, 0.1), (-0.1, 0.5), (0.0, 1.5)])
def test_ranges_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="0|low"):
        phi_prior(0.3, regularization=bad)
