import copy

import pytest
import torch
from ignite.engine import Engine
from monai.optimizers import WarmupCosineSchedule

from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.training import (
    CosineSchedule,
    FixedPhi,
    SecondStage,
    StagedPhi,
    Stages,
    UniformPhi,
    parameter_groups,
    training_stages,
)


@pytest.mark.parametrize(
    ("first", "epochs", "options", "expected"),
    [
        (12, 18, {}, Stages(12, 0.5)),
        (4, 7, {"keep_phi": 0.3}, Stages(4, 0.3)),
        (0, 18, {}, Stages(0, None)),
        (5, 10, {"phi_range": (0.0, 0.25)}, Stages(5, 0.25)),
        (5, 10, {"phi_range": (0.6, 1.0)}, Stages(5, 0.6)),
        (5, 10, {"generator": {"name": "spline"}}, Stages(5, 0.5)),
        # One stage: nothing comes first, or nothing second.
        (5, 10, {"generator": {"name": "film"}}, Stages(0, None)),
        (5, 10, {"generator": {"init": "paper"}}, Stages(0, None)),
        (5, 10, {"method": "fixed", "phi": 0.3}, Stages(0, None)),
        (5, 10, {"method": "stochastic"}, Stages(0, None)),
        (5, 10, {"phi": [0.1, 0.5]}, Stages(0, None)),
        (5, 10, {"all_levels": True}, Stages(0, None)),
        (5, 10, {"phi_range": (0.5, 0.5)}, Stages(0, None)),
        (5, 10, {"warm_start": "models", "keep_phi": 0.5}, Stages(0, 0.5)),
    ],
)
def test_which_trainings_have_two_stages(first, epochs, options, expected):
    assert training_stages(first, epochs, **options) == expected


@pytest.mark.parametrize(
    ("first", "epochs", "options", "message"),
    [(5, 5, {}, "some of the 5 max_epochs"), (1, 2, {"keep_phi": 0.8}, "within phi_range, 0 to 0.5, got 0.8")],
)
def test_stages_that_cannot_be_are_told(first, epochs, options, message):
    with pytest.raises(SystemExit, match=message):
        training_stages(first, epochs, **options)


@pytest.mark.parametrize("levels", [None, 3])
def test_the_first_stage_draws_one_phi_and_the_second_as_ever(levels):
    first, then = FixedPhi(0.5, levels), UniformPhi(0.1, 0.4, levels=levels, seed=3)
    prior = StagedPhi(first, then, iterations=5)
    fixed = 0.5 if levels is None else (0.5,) * 3
    assert [prior(k) for k in range(1, 9)] == [fixed] * 5 + [then(k) for k in range(6, 9)]
    assert prior.several(5, 4) == [fixed] and prior.several(6, 4) == then.several(6, 4)
    assert prior.range == (0.1, 0.4) and prior.levels == levels
    assert [StagedPhi(first, then, 0)(k) for k in (1, 2)] == [then(1), then(2)]


def rates(schedule, optimizer, steps):
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def test_the_learning_rate_of_two_stages_is_that_of_two_trainings():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [each]} for each in weights], lr=2.0)
    found = rates(CosineSchedule(optimizer, 3, 100, first_steps=60), optimizer, 100)
    expected = []
    for steps in (60, 40):
        single = torch.optim.SGD(weights, lr=2.0)
        expected += [rate[0] for rate in rates(WarmupCosineSchedule(single, 3, steps), single, steps)]
    assert [rest for _, rest in found] == pytest.approx(expected)
    assert [base for base, _ in found] == pytest.approx(expected[:60] + [0.0] * 40)


def test_a_schedule_of_two_stages_goes_on_where_it_was():
    def make():
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        optimizer = torch.optim.SGD([{"params": [each]} for each in weights], lr=1.0)
        return CosineSchedule(optimizer, 2, 20, first_steps=12), optimizer

    whole = rates(*make(), 20)
    for stop in (5, 12, 15):
        schedule, optimizer = make()
        rates(schedule, optimizer, stop)
        resumed, other = make()
        resumed.load_state_dict(schedule.state_dict())
        other.load_state_dict(optimizer.state_dict())
        torch.testing.assert_close(rates(resumed, other, 20 - stop), whole[stop:])


def network(**generator):
    torch.manual_seed(0)
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4), norm="group")
    return HyperNetwork(primary, build_generator(**generator, reference=0.5, head_scale=0.0))


MLP = {"name": "mlp", "hidden": (4, 3)}
SPLINE = {"name": "spline", "anchors": (0.0, 0.2, 0.5)}


def test_every_trained_parameter_is_in_one_group():
    net = network(**MLP)
    names = {id(value): name for name, value in net.named_parameters()}
    base, changing = (
        {names[id(value)] for value in group["params"]} for group in parameter_groups(net, Stages(2, 0.5))
    )
    assert base.isdisjoint(changing) and base | changing == set(names.values())
    assert "generator.base" in base and "generator.heads" in changing
    assert all(name.startswith("generator.") for name in changing)
    assert any(name.startswith("primary.") for name in base), "norms are not generated here"
    (whole,) = parameter_groups(net, Stages())
    assert [id(value) for value in whole["params"]] == list(names)


@pytest.mark.parametrize("generator", [MLP, SPLINE, {"name": "linear"}])
@pytest.mark.parametrize("stages", [None, Stages(), Stages(2, 0.5)])
def test_heads_learn_at_their_own_rate(generator, stages):
    net = network(**generator)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    optimizer = torch.optim.Adam(parameter_groups(net, stages, learning_rate=1e-2, head_rate=0.3), lr=1.0, eps=1e-20)
    schedule = CosineSchedule(optimizer, 0, 100, first_steps=50 if stages and stages.epochs else 0)
    net(torch.rand(2, 1, 12, 9), phi=0.1).square().mean().backward()
    optimizer.step()
    moved = {name: float((value.detach() - before[name]).abs().max()) for name, value in net.named_parameters()}
    # Adam's first step is the learning rate, wherever there is a gradient.
    assert moved["generator.base"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["generator.heads"] == pytest.approx(3e-3, rel=1e-3)
    schedule.step()
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.3 * optimizer.param_groups[0]["lr"])


def test_rates_are_the_optimizers_unless_given():
    assert all("lr" not in group for group in parameter_groups(network(**MLP), Stages(2, 0.5)))
    assert "lr" not in parameter_groups(network(**MLP))[0]
    with pytest.raises(ValueError, match="give one beside head_rate=0.3"):
        parameter_groups(network(**MLP), head_rate=0.3)


def test_what_has_no_heads_has_one_rate():
    net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4)), build_generator(name="constant"))
    (whole,) = parameter_groups(net, None, learning_rate=1e-2, head_rate=0.3)
    assert whole["lr"] == 1e-2 and len(whole["params"]) == len(list(net.parameters()))


@pytest.mark.parametrize("generator", [MLP, SPLINE])
def test_what_the_first_stage_learnt_stays(generator):
    net = network(**generator)
    averaged = copy.deepcopy(net)
    stages = Stages(2, 0.5)
    optimizer = torch.optim.Adam(parameter_groups(net, stages), lr=1e-2)
    schedule = CosineSchedule(optimizer, 1, 5 * 4, first_steps=2 * 4)
    prior = StagedPhi(FixedPhi(0.5), UniformPhi(0.0, 0.4), iterations=2 * 4)
    image, seen = torch.rand(2, 1, 12, 9), []

    def step(engine, batch):
        optimizer.zero_grad(set_to_none=False)
        net(image, phi=prior(engine.state.iteration)).square().mean().backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            seen.append([net(image, phi=phi) for phi in (0.5, 0.1)])
            for mean, value in zip(averaged.parameters(), net.parameters(), strict=True):
                mean.lerp_(value, 0.3)

    engine = Engine(step)
    SecondStage(stages, net, averaged, optimizer).attach(engine)
    engine.run([0] * 4, max_epochs=5)
    at_half, at_tenth = zip(*seen, strict=True)
    assert not torch.equal(at_half[0], at_half[7])
    assert all(torch.equal(later, at_half[8]) for later in at_half[8:])
    assert not torch.equal(at_tenth[8], at_tenth[-1])
    # The second stage starts from the average, which lags behind the last weights.
    assert not torch.equal(at_half[7], at_half[8])
