import numpy as np
import pytest

from monai_hyperscale.context import Context
from monai_hyperscale.errors import PhiError
from monai_hyperscale.training import ChoicePhi, FixedPhi, UniformPhi, phi_prior, validation_contexts


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
    assert UniformPhi(seed=0)(1) == pytest.approx(0.3322850596829058)


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


@pytest.mark.parametrize("prior", [UniformPhi(0.1, 0.5, exponent=2.0, seed=4), ChoicePhi([0.1, 0.2, 0.4, 0.5])])
def test_several_phi_of_an_iteration_spread_over_the_prior(prior):
    assert prior.several(3, 1) == [prior(3)]
    drawn = np.array([prior.several(iteration, 4) for iteration in range(1, 1001)])
    edges = [prior.quantile(k / 4) for k in range(4)]
    assert all((drawn[:, k] >= edges[k]).all() for k in range(4))
    assert all((drawn[:, k] <= edges[k + 1]).all() for k in range(3))
    # Together they are the prior: same mean, and a mean of four varies less than that of four independent draws.
    alone = draws(prior)
    assert abs(drawn.mean() - alone.mean()) < 0.01
    assert drawn.mean(1).std() < alone.std() / 3


def test_several_phi_per_level_have_strata_on_every_level():
    drawn = np.array([UniformPhi(0, 1, levels=2, rescale_input=True).several(i, 4) for i in range(1, 501)])
    assert drawn.shape == (500, 4, 2)
    strata = np.sort((drawn[..., 1] * 4).astype(int), axis=1)
    assert (strata == [0, 1, 2, 3]).all()
    assert (np.sort(drawn[..., 0])[:, 2:] == 1).all()
    # Which stratum of one level meets which of the other differs.
    assert len({tuple(row) for row in (drawn[..., 1] * 4).astype(int)}) == 24
    contexts = phi_prior(None, regularization=(0.2, 0.4)).contexts(5, 2)
    assert sorted(int((context["regularization"] - 0.2) / 0.1) for context in contexts) == [0, 1]
    assert [context["phi"] for context in contexts] == UniformPhi().several(5, 2)


def test_override_chooses_the_prior():
    kinds = ((None, UniformPhi), (0, FixedPhi), (0.3, FixedPhi), ([0.1, 0.3], ChoicePhi))
    assert all(type(phi_prior(phi)) is kind for phi, kind in kinds)
    draws_of = [[phi_prior(None, seed=3, method=m)(i) for i in range(1, 9)] for m in ("sshn", "film", "stochastic")]
    assert draws_of[0] == draws_of[1] == draws_of[2]
    assert len(phi_prior(None, levels=4)(1)) == 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: UniformPhi(0.5, 0.1),
        lambda: UniformPhi(-0.1, 0.1),
        lambda: UniformPhi(exponent=0),
        lambda: UniformPhi(levels=0),
        lambda: ChoicePhi([]),
        lambda: FixedPhi(1.5),
        lambda: phi_prior("0.3"),
        lambda: phi_prior(float("nan")),
    ],
)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="must|expected"):
        make()
    with pytest.raises(PhiError, match="between 0 and 1"):
        UniformPhi(0.0, 1.5)


def test_a_rescaled_input_draws_twice_the_factor():
    plain, rescaled = UniformPhi(0, 1, levels=3), UniformPhi(0, 1, levels=3, rescale_input=True)
    for iteration in range(1, 50):
        first, *rest = plain(iteration)
        assert rescaled(iteration) == (min(1.0, 2 * first), *rest)
    assert FixedPhi(0.3, levels=3, rescale_input=True)(1) == (0.6, 0.3, 0.3)
    assert rescaled.range == (0.0, 1.0)


def test_settings_of_all_levels_are_drawn_together():
    choices = [(0.5, 0.4), (0.2, 0.1), 0.3]
    prior = ChoicePhi(choices, levels=2)
    drawn = [prior(i) for i in range(1, 600)]
    assert set(drawn) == set(choices)
    assert all(abs(drawn.count(choice) / len(drawn) - 1 / 3) < 0.07 for choice in choices)
    assert prior.range == (0.1, 0.5)
    assert ChoicePhi([(1.0, 0.4), (0.6, 0.3)], rescale_input=True).range == (0.3, 0.4)
    with pytest.raises(ValueError, match="drawn together"):
        prior.quantile(0.1)


@pytest.mark.parametrize(("phi", "expected"), [(None, 0.5), (0.3, 0.3), ([0.5, 0.4], (0.5, 0.4))])
def test_fixed_trains_one_phi(phi, expected):
    prior = phi_prior(phi, method="fixed")
    assert {prior(i) for i in range(1, 20)} == {expected}
    assert validation_contexts(None, prior) == (Context(phi=expected),)


def test_validation_takes_one_factor_or_one_per_level():
    prior = UniformPhi(0, 0.5, levels=2)
    for given, of, expected in [
        ([0.1, [0.5, 0.4]], prior, [0.1, (0.5, 0.4)]),
        (None, prior, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (None, ChoicePhi([0.5, (0.2, 0.1)]), [(0.2, 0.1), 0.5]),
    ]:
        assert validation_contexts(given, of) == tuple(Context(phi=phi) for phi in expected)
