import numpy as np
import pytest

from monai_hyperscale.errors import PhiError
from monai_hyperscale.training import AroundPhi, ChoicePhi, FixedPhi, UniformPhi, phi_prior


def draws(prior, count=4000):
    return np.array([prior(iteration) for iteration in range(1, count + 1)])


def test_uniform_has_the_moments_of_its_distribution():
    values = draws(UniformPhi(0.1, 0.5))
    assert values.min() >= 0.1 and values.max() <= 0.5
    assert abs(values.mean() - 0.3) < 0.01
    assert abs(values.std() - 0.4 / np.sqrt(12)) < 0.005


def test_exponent_gives_its_distribution_function():
    values = draws(UniformPhi(0.0, 0.5, exponent=2.0))
    for phi in (0.1, 0.25, 0.4):
        assert abs((values < phi).mean() - (phi / 0.5) ** 2) < 0.03


def test_the_sequence_depends_on_seed_and_iteration_alone():
    first, again, other = UniformPhi(seed=3), UniformPhi(seed=3), UniformPhi(seed=4)
    sequence = [first(i) for i in range(1, 20)]
    assert [again(i) for i in range(19, 0, -1)] == sequence[::-1]
    assert [other(i) for i in range(1, 20)] != sequence
    # The sequence is part of what a resume promises: a change of it is a change of behaviour.
    assert UniformPhi(seed=0)(1) == pytest.approx(UNIFORM_SEED_0_ITERATION_1)


UNIFORM_SEED_0_ITERATION_1 = 0.3322850596829058


def test_around_is_narrow_and_stays_within_bounds():
    assert AroundPhi(0.5, 0.05).range == pytest.approx((0.45, 0.55))
    assert AroundPhi(0.02, 0.05).range == pytest.approx((0.0, 0.07))
    values = draws(AroundPhi(0.5, 0.05), 500)
    assert values.min() >= 0.45 and values.max() <= 0.55


def test_choice_draws_every_value_as_often():
    values = draws(ChoicePhi([0.1, 0.3, 0.5]), 3000)
    for value in (0.1, 0.3, 0.5):
        assert abs((values == value).mean() - 1 / 3) < 0.04
    assert set(draws(FixedPhi(0.3), 20)) == {0.3}


def test_levels_are_independent():
    prior = UniformPhi(0, 1, levels=3)
    values = np.array([prior(i) for i in range(1, 1500)])
    assert values.shape[1] == 3
    assert np.abs(np.corrcoef(values.T)[np.triu_indices(3, 1)]).max() < 0.08


@pytest.mark.parametrize(("phi", "kind"), [(None, UniformPhi), (0, FixedPhi), (0.3, FixedPhi), ([0.1, 0.3], ChoicePhi)])
def test_override_chooses_the_prior(phi, kind):
    assert type(phi_prior(phi)) is kind


@pytest.mark.parametrize(
    "make",
    [
        lambda: UniformPhi(0.5, 0.1),
        lambda: UniformPhi(-0.1, 0.1),
        lambda: UniformPhi(exponent=0),
        lambda: UniformPhi(levels=0),
        lambda: ChoicePhi([]),
        lambda: FixedPhi(1.5),
        lambda: AroundPhi(0.5, -1),
        lambda: phi_prior("0.3"),
        lambda: phi_prior(float("nan")),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="must|expected"):
        make()


def test_a_bad_factor_is_a_phi_error():
    with pytest.raises(PhiError, match="between 0 and 1"):
        UniformPhi(0.0, 1.5)
