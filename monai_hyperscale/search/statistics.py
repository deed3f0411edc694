"""From scores per case and label to means and intervals, and what is best among many φ: Pareto points, volume, knee."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

import numpy as np
from scipy.stats import bootstrap

from monai_hyperscale.search.results import Interval


def interval(values: Sequence[Optional[float]], samples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean over cases but ``None`` and its 95 % percentile bootstrap interval, of the same draw always."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return Interval(None, None, None)
    mean = round(float(known.mean()), 12)
    if len(known) == 1:
        return Interval(mean, mean, mean)
    found = bootstrap((known,), np.mean, n_resamples=samples, method="percentile", random_state=seed)
    return Interval(mean, float(found.confidence_interval.low), float(found.confidence_interval.high))


def case_score(scores: Iterable[Optional[float]]) -> Optional[float]:
    """Return the mean over the labels of one case; ``None`` where none has a score."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def case_scores(cases: Mapping[str, Mapping[str, Optional[float]]]) -> list[Optional[float]]:
    """Return the mean over labels of every case, given by label values, ``None`` where it has none of them."""
    return [case_score(scores.values()) for scores in cases.values()]


def mean_score(cases: Iterable[Sequence[Optional[float]]]) -> Optional[float]:
    """Return the mean over labels of every case, then over the cases, as :func:`interval`: a case counts once."""
    return case_score(case_score(scores) for scores in cases)


Values = Sequence[Optional[float]]


def pareto_points(costs: Values, scores: Values, higher_is_better: bool = True) -> list[int]:
    """Return the points that no other beats, which costs as little, scores as well, and is better in one of both.

    Indices, the cheapest first; of two points alike both are named. ``None`` as cost or score leaves a point out.

    Example:
        >>> pareto_points([1, 2, 3, 4], [0.5, 0.8, 0.7, 0.9])
        [0, 1, 3]
    """
    known = [
        (cost, -score if higher_is_better else score, index)
        for index, (cost, score) in enumerate(zip(costs, scores, strict=True))
        if cost is not None and score is not None
    ]
    found: list[int] = []
    best: Optional[tuple[float, float]] = None  # the latest Pareto point, which has the best score so far
    for cost, loss, index in sorted(known):
        if best is None or loss < best[1] or (cost, loss) == best:
            found.append(index)
            best = (cost, loss)
    return found


def hypervolume(costs: Values, scores: Values, higher_is_better: bool = True) -> float:
    """Return the share of the plane of costs and scores that the points dominate.

    Costs are divided by the largest, and the reference point is that cost and the score 0, below which a score counts
    as 0: for a score of at most 1 the result is in [0, 1]. Where less of the score is better, 1 − score ÷ the largest
    score takes its place.

    Example:
        >>> hypervolume([1, 2, 4], [0.5, 0.8, 0.9])  # 3/4 · 0.5 + 2/4 · 0.3
        0.525
    """
    known = [(cost, score) for cost, score in zip(costs, scores, strict=True) if cost is not None and score is not None]
    if not known:
        return 0.0
    dearest, largest = (max(values) for values in zip(*known, strict=True))
    if dearest <= 0:
        return 0.0
    volume = reached = 0.0
    for index in pareto_points(costs, scores, higher_is_better):
        score = float(scores[index] or 0.0)
        gain = max(0.0, score) if higher_is_better else 1 - score / largest if largest > 0 else 0.0
        volume += (1 - float(costs[index] or 0.0) / dearest) * max(0.0, gain - reached)
        reached = max(reached, gain)
    return volume


def knee(costs: Values, scores: Values, higher_is_better: bool = True) -> Optional[int]:
    """Return the point after which cost buys little: the one farthest above the line between the ends.

    The ends are the cheapest Pareto point and the one with the best score; both axes are scaled to [0, 1] between them.
    Where no Pareto point is above the line it is the best-scoring one; ``None`` if there is no point.

    Example:
        >>> knee([1, 2, 3, 4], [0.5, 0.85, 0.88, 0.9])
        1
    """
    order = pareto_points(costs, scores, higher_is_better)
    if not order:
        return None
    sign = 1 if higher_is_better else -1
    points = {index: (float(costs[index] or 0.0), sign * float(scores[index] or 0.0)) for index in order}
    (low_cost, low_gain), (high_cost, high_gain) = points[order[0]], points[order[-1]]
    if high_cost <= low_cost or high_gain <= low_gain:
        return order[-1]

    def height(index: int) -> float:
        cost, gain = points[index]
        # Across the diagonal of the unit square it is this, divided by the root of 2.
        return (gain - low_gain) / (high_gain - low_gain) - (cost - low_cost) / (high_cost - low_cost)

    highest = max(order, key=height)
    return highest if height(highest) > 1e-12 else order[-1]
