"""What the times of several programs, measured in turn, say of each other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from monai_hyperscale.search.timing import SHORTEST_SAMPLE, interleaved

__all__ = ["SHORTEST_SAMPLE", "Spread", "interleaved", "ratios", "spread"]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a sample."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles.

    Example:
        >>> spread([3.0, 1.0, 2.0, 5.0, 4.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(times: Sequence[float], reference: Sequence[float]) -> Spread:
    """Return the spread of time ÷ reference, round by round.

    A round's times were taken one right after another, so what slows the machine for a while cancels in their ratio,
    as it does not in the ratio of two medians.

    Example:
        >>> ratios([2.2, 22.0, 4.4], [2.0, 20.0, 4.0]).high
        1.1
    """
    return spread([a / b for a, b in zip(times, reference, strict=True)])
