"""Networks with one factor per level: which of the factors counts, and what they are worth together (SSHN C.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.results import Frontier, FrontierRow

__all__ = ["FactorInfluence", "LevelGain", "check_common", "check_levels", "factor_influence", "gains_at_cost"]


@dataclass(frozen=True)
class FactorInfluence:
    """What one of the factors does to the score.

    Args:
        level: of the factor, 0 the first.
        values: at which it was measured.
        settings: of the other factors, over which means are taken: those with at least two values of this one.
        change: mean of the greatest less the least score as this factor goes over its values and the others stay;
            ``None`` where there is no such setting.
        rise: mean of the score at the greatest value less that at the least, which has a sign.
        best: value with the best mean score over the settings that have every value.
    """

    level: int
    values: tuple[float, ...]
    settings: int
    change: Optional[float]
    rise: Optional[float]
    best: Optional[float]


@dataclass(frozen=True)
class LevelGain:
    """What separate factors give at the cost of a common one.

    Args:
        phi: the common factor.
        flops: its operations.
        common: its score.
        separate: best score of separate factors at no more operations; ``None`` where all have more.
        factors: which those are.
    """

    phi: float
    flops: float
    common: float
    separate: Optional[float]
    factors: Optional[tuple[float, ...]]


def check_levels(frontier: Frontier) -> int:
    """Return how many factors a frontier has; a FrontierError if one only, or no scores with operations."""
    count = len(frontier.rows[0].phi)
    if count < 2:
        raise FrontierError(
            "these results have one factor for all levels, so there is none to compare; measure a network of one "
            "factor per level with monai-hyperscale pareto --phi 0:0.5:0.1x0:0.5:0.1x..., with a part for each level."
        )
    if not scored_rows(frontier) or "flops" not in frontier.pareto:
        raise FrontierError("these results have no scores or operations; measure again with monai-hyperscale pareto.")
    return count


def check_common(frontier: Frontier, common: Frontier) -> None:
    """Raise a FrontierError if the results of a common factor cannot stand beside those of separate ones."""
    if len(common.rows[0].phi) > 1 or not scored_rows(common):
        raise FrontierError("the results to compare with must have one factor for all levels, and scores.")
    pairs = {
        "metric": (frontier.metric, common.metric),
        "data set": (frontier.data, common.data),
        "size of image": (frontier.options.get("size"), common.options.get("size")),
    }
    for name, (one, other) in pairs.items():
        if one != other:
            raise FrontierError(f"the results to compare with are of another {name}; measure both alike.")


def scored_rows(frontier: Frontier) -> list[FrontierRow]:
    """Return the settings with a score and a number of operations."""
    return [row for row in frontier.rows if row.score.mean is not None and row.flops is not None]


def stands_for_one(phi: Sequence[float], rescale_input: bool = False) -> bool:
    """Return whether the factors are what one common φ stands for, of a rescaled input with twice that first."""
    rest = phi[1:] if rescale_input else phi
    alike = all(abs(factor - rest[0]) < 1e-9 for factor in rest)
    return alike and (not rescale_input or abs(phi[0] - min(1.0, 2 * rest[0])) < 1e-9)


def factor_influence(frontier: Frontier) -> list[FactorInfluence]:
    """Return for every factor how much the score changes as it goes over its range (SSHN C.2, discussion).

    Raises:
        FrontierError: if it has one factor only.
    """
    levels = check_levels(frontier)
    scores = {row.phi: row.score.mean for row in frontier.rows if row.score.mean is not None}
    return [_influence(level, scores, frontier.higher_is_better) for level in range(levels)]


def _influence(level: int, scores: dict[tuple[float, ...], float], higher: bool) -> FactorInfluence:
    values = tuple(sorted({phi[level] for phi in scores}))
    groups: dict[tuple[float, ...], dict[float, float]] = {}
    for phi, score in scores.items():
        groups.setdefault(phi[:level] + phi[level + 1 :], {})[phi[level]] = score
    compared = [group for group in groups.values() if len(group) > 1]
    if not compared:
        return FactorInfluence(level, values, 0, None, None, None)
    change = fmean(max(group.values()) - min(group.values()) for group in compared)
    rise = fmean(group[max(group)] - group[min(group)] for group in compared)
    # Only where all values were measured is their mean one over the same settings.
    whole = [group for group in compared if len(group) == len(values)]
    means = {value: fmean(group[value] for group in whole) for value in values if whole}
    best = (max if higher else min)(means, key=lambda value: means[value], default=None)
    return FactorInfluence(level, values, len(compared), change, rise, best)


def gains_at_cost(frontier: Frontier, common: Frontier) -> list[LevelGain]:
    """Return for every Pareto point of the common factor the best separate factors that cost no more.

    Raises:
        FrontierError: if the frontiers cannot be compared: they need the same metric, cases and image.
    """
    check_levels(frontier)
    check_common(frontier, common)
    rows, sign = scored_rows(frontier), 1.0 if frontier.higher_is_better else -1.0
    found = []
    for index in common.pareto.get("flops", ()):
        row = common.rows[index]
        if row.flops is None or row.score.mean is None:
            continue
        near = [other for other in rows if (other.flops or 0.0) <= row.flops]
        best = max(near, key=lambda other: sign * (other.score.mean or 0.0), default=None)
        separate = None if best is None else best.score.mean
        found.append(LevelGain(row.phi[0], row.flops, row.score.mean, separate, None if best is None else best.phi))
    return found
