import random

import numpy as np
import pytest
from scipy.stats import norm

from monai_hyperscale.search import hypervolume, knee, pareto_points
from monai_hyperscale.search.statistics import case_scores, interval


def drawn(seed, count=40, gaps=True):
    # Few different values, so that there are ties in one and in both.
    rng = random.Random(seed)
    costs = [rng.randint(1, 12) for _ in range(count)]
    scores = [rng.randint(0, min(cost, 10)) / 10 for cost in costs]
    if gaps:
        costs[3] = scores[7] = None
    return costs, scores


def beats(a, b):
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sign", [1, -1])
def test_pareto_points_are_those_that_none_beats(seed, sign):
    costs, scores = drawn(seed)
    signed = [None if score is None else sign * score for score in scores]
    points = {i: (c, s) for i, (c, s) in enumerate(zip(costs, scores, strict=True)) if c is not None and s is not None}
    wanted = [i for i, point in points.items() if not any(beats(other, point) for other in points.values())]
    found = pareto_points(costs, signed, higher_is_better=sign > 0)
    assert sorted(found) == wanted and len(wanted) > 1
    assert [costs[i] for i in found] == sorted(costs[i] for i in found)


@pytest.mark.parametrize("seed", range(10))
def test_hypervolume_is_the_counted_area(seed):
    costs, scores = drawn(seed, gaps=False)
    dearest = max(costs)
    # All corners lie on this grid, so its cells are wholly inside or outside.
    cells = sum(
        any(cost <= x and score * 10 >= y + 1 - 1e-9 for cost, score in zip(costs, scores, strict=True))
        for x in range(dearest)
        for y in range(10)
    )
    assert hypervolume(costs, scores) == pytest.approx(cells / (10 * dearest))


def test_hypervolume_where_less_is_better():
    # The greatest distance, 8, becomes 0: 3/4 · 0.5 + 2/4 · 0.25
    assert hypervolume([1, 2, 4, 4], [4, 2, 1, 8], higher_is_better=False) == pytest.approx(0.5)
    assert hypervolume([1, 2], [-0.5, -0.1]) == 0
    assert hypervolume([None, 2], [0.5, None]) == hypervolume([], []) == 0


def test_the_knee_is_farthest_from_the_line_between_the_ends():
    costs = [1 + 0.1 * step for step in range(41)]
    scores = [1 - 1 / cost for cost in costs]
    # The slope of 1 − 1/x equals that of the line from (1, 0) to (5, 0.8) where 1/x² = 0.2.
    assert costs[knee(costs, scores)] == pytest.approx(5**0.5, abs=0.05)
    distances = [-score for score in scores]
    assert knee(costs, distances, higher_is_better=False) == knee(costs, scores)
    # Points that are beaten have no say.
    assert knee([*costs, 2.0], [*scores, 0.1]) == knee(costs, scores)


@pytest.mark.parametrize(
    ("costs", "scores", "wanted"),
    [
        ([], [], None),
        ([None], [0.5], None),
        ([2.0], [0.5], 0),
        ([1, 2], [0.5, 0.6], 1),
        ([1, 2, 3], [0.1, 0.2, 0.9], 2),  # below the line
        ([1, 1], [0.5, 0.6], 1),
    ],
)
def test_the_knee_of_few_points(costs, scores, wanted):
    assert knee(costs, scores) == wanted


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
