import numpy as np
import pytest
from scipy.stats import norm

from monai_hyperscale.search.statistics import case_scores, interval


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(0.8, 0.05, 200)
    found = interval(values.tolist(), samples=5000)
    error = values.std() / len(values) ** 0.5
    assert found.mean == pytest.approx(values.mean())
    # For so many cases the means are normally distributed.
    assert (found.low, found.high) == pytest.approx((norm.ppf([0.025, 0.975], values.mean(), error)), abs=0.15 * error)


def test_the_interval_follows_the_seed_and_leaves_out_what_has_no_value():
    values = [0.1, None, 0.5, 0.9]
    assert interval(values, seed=1) == interval([0.1, 0.5, 0.9], seed=1)
    # All 27 samples of three cases: the quantiles are among their means.
    means = {round(sum(s) / 3, 6) for s in np.array(np.meshgrid(*[[0.1, 0.5, 0.9]] * 3)).reshape(3, -1).T.tolist()}
    assert {round(interval(values).low, 6), round(interval(values).high, 6)} <= means


def test_the_score_of_a_case_is_that_of_its_labels():
    assert case_scores({"a": {"1": 0.2, "2": 0.4}, "b": {"1": None, "2": None}}) == [pytest.approx(0.3), None]
