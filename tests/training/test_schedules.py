import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandGaussianNoise

from monai_hyperscale.context import Context
from monai_hyperscale.errors import TrainingError
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.tasks.segmentation.loss import CrossEntropyThenDice
from monai_hyperscale.training import (
    CosineSchedule,
    EpochSeed,
    FixedPhi,
    GradientClipping,
    LossSchedule,
    PhiSampler,
    StopOnDivergence,
    UniformPhi,
    training_inferer,
)


def epochs_of_data(start, workers):
    """Batches of epochs start + 1 … 3, as a run that begins after epoch ``start`` sees them."""
    torch.manual_seed(99 + start)
    transform = Compose([RandGaussianNoise(prob=1.0)])
    dataset = CacheDataset([torch.zeros(1, 2) + i for i in range(4)], transform, progress=False)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers)
    seen = {}
    engine = Engine(lambda engine, batch: seen.setdefault(engine.state.epoch, []).append(torch.as_tensor(batch)))
    EpochSeed(5, dataset).attach(engine)

    def begin(engine):
        engine.state.epoch, engine.state.iteration = start, start * 2

    engine.add_event_handler(Events.STARTED, begin)
    engine.run(loader, max_epochs=3, epoch_length=2)
    return {epoch: torch.stack(batches) for epoch, batches in seen.items()}


def test_an_epoch_is_the_same_after_a_resume():
    for workers in (0, 1):
        whole, resumed = epochs_of_data(0, workers), epochs_of_data(2, workers)
        assert list(whole) == [1, 2, 3] and list(resumed) == [3]
        torch.testing.assert_close(whole[3], resumed[3], atol=0, rtol=0)
        assert not torch.equal(whole[1], whole[2])


def test_every_iteration_gets_the_phi_of_the_prior():
    prior, inferer, seen = UniformPhi(seed=2), PhiInferer(), []
    engine = Engine(lambda engine, batch: seen.append((inferer.context, engine.state.contexts)))
    PhiSampler(prior, inferer).attach(engine)
    engine.run(range(3), max_epochs=2)
    assert seen == [(Context(phi=prior(i)), [Context(phi=prior(i))]) for i in range(1, 7)]


def test_several_phi_per_step_come_from_strata_of_the_prior():
    prior, inferer, seen = UniformPhi(seed=2), training_inferer("fp32", 4), []
    engine = Engine(lambda engine, batch: seen.append((list(inferer.contexts), engine.state.contexts)))
    PhiSampler(prior, inferer).attach(engine)
    engine.run(range(3), max_epochs=1)
    expected = [[Context(phi=phi) for phi in prior.several(i, 4)] for i in (1, 2, 3)]
    assert seen == [(contexts, contexts) for contexts in expected]
    # One φ takes the batch in one piece.
    PhiSampler(FixedPhi(0.3), inferer)(engine)
    assert inferer.contexts == [Context(phi=0.3)]


def test_the_loss_is_told_the_epoch():
    loss, seen = CrossEntropyThenDice(switch_epoch=2), []
    engine = Engine(lambda engine, batch: seen.append(loss.epoch))
    LossSchedule(loss).attach(engine)
    engine.run([0], max_epochs=3)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("gradient", [200.0, 1.9, float("nan"), float("inf")])
def test_gradients_are_clipped_as_torch_does(gradient):
    weights, reference = ([torch.nn.Parameter(torch.zeros(1)) for _ in range(3)] for _ in range(2))
    for group in (weights, reference):  # of which the third takes no part
        group[0].grad, group[1].grad = torch.tensor([gradient]), torch.tensor([0.3])
    engine = Engine(lambda engine, batch: None)
    engine.scaler, engine.optimizer = None, torch.optim.SGD(weights, lr=1.0)
    GradientClipping(2.0)(engine)
    torch.nn.utils.clip_grad_norm_(reference, 2.0)
    found, expected = ([float(weight.grad) for weight in group[:2]] for group in (weights, reference))
    np.testing.assert_array_equal(found, expected)
    assert weights[2].grad is None
    if gradient == 1.9:  # small ones stay as they are
        assert found == [float(torch.tensor(1.9)), float(torch.tensor(0.3))]


def learning_rates(epochs, resume_at=None, first_total=8):
    """Learning rate of every step, with a resume of a schedule of ``first_total`` steps on the way."""
    weight = torch.nn.Parameter(torch.zeros(1))

    def make(total):
        optimizer = torch.optim.SGD([weight], lr=1.0)
        return optimizer, CosineSchedule(optimizer, warmup_steps=2, t_total=total)

    optimizer, schedule = make(first_total if resume_at else epochs)
    rates = []
    for step in range(epochs):
        if step == resume_at:
            state = schedule.state_dict()
            optimizer, schedule = make(epochs)
            schedule.load_state_dict(state)
        weight.grad = torch.zeros(1)
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    return rates


def test_a_resumed_schedule_goes_on_along_the_new_length():
    whole = learning_rates(20)
    assert learning_rates(20, resume_at=5, first_total=20) == pytest.approx(whole)
    assert learning_rates(20, resume_at=5, first_total=8)[5:] == pytest.approx(whole[5:])
    assert max(whole) == pytest.approx(1.0) and whole[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_loss_that_is_no_number_ends_the_training():
    def step(engine, batch):
        return {"loss": torch.tensor(float("nan") if engine.state.iteration == 3 else 1.0)}

    engine = Engine(step)
    StopOnDivergence().attach(engine)
    with pytest.raises(TrainingError, match="nan at iteration 3"):
        engine.run([0] * 5)
