"""From scores per case and label to means and their bootstrap intervals."""

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
