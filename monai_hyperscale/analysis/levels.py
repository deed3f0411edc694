"""Networks with one factor per level: which of the factors counts, and what they are worth together (SSHN C.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.results import Frontier, FrontierRow

__all__ = ["FactorInfluence", "LevelGain", "check_common", "check_levels", "factor_influence", "gains_at_cost"]


@dataclass(frozen=True)
class FactorInfluence:
    """What one of the factors does to the score.

    Attributes:
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

    Attributes:
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
    """Return how many factors the settings of a frontier have.

    Raises:
        FrontierError: if that is one, or no setting has a score and operations.
    """
    count = len(frontier.rows[0].phi)
    if count < 2:
        raise FrontierError(
            "these results have one factor for all levels, so there is none to compare; measure a network of one "
            "factor per level with monai-hyperscale pareto --phi 0:0.5:0.1x0:0.5:0.1x..., with a part for each level."
        )
    if not scored_rows(frontier) or "flops" not in frontier.pareto:
        raise FrontierError(
            "these results have no scores or no operations; measure again with monai-hyperscale pareto."
        )
    return count


def check_common(frontier: Frontier, common: Frontier) -> None:
    """Check that the results of a common factor can stand beside those of separate ones.

    Raises:
        FrontierError: if they have several factors too, or another metric, other cases, or costs of another image.
    """
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
    """Return whether the factors are what one common φ stands for, see ``ScaleSpaceNetwork.per_level``.

    Example:
        >>> stands_for_one((0.3, 0.3)), stands_for_one((0.6, 0.3)), stands_for_one((0.6, 0.3), rescale_input=True)
        (True, False, True)
    """
    rest = phi[1:] if rescale_input else phi
    alike = all(abs(factor - rest[0]) < 1e-9 for factor in rest)
    return alike and (not rescale_input or abs(phi[0] - min(1.0, 2 * rest[0])) < 1e-9)


def factor_influence(frontier: Frontier) -> list[FactorInfluence]:
    """Return for every factor how much the score changes as it goes over its range (SSHN C.2, discussion).

    Args:
        frontier: of one factor per level.

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
    change = _mean([max(group.values()) - min(group.values()) for group in compared])
    rise = _mean([group[max(group)] - group[min(group)] for group in compared])
    # Only where all values were measured is their mean one over the same settings.
    whole = [group for group in compared if len(group) == len(values)]
    best = None
    if whole:
        means = {value: _mean([group[value] for group in whole]) for value in values}
        best = max(values, key=lambda value: means[value] if higher else -means[value])
    return FactorInfluence(level, values, len(compared), change, rise, best)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def gains_at_cost(frontier: Frontier, common: Frontier) -> list[LevelGain]:
    """Return for every Pareto point of the common factor the best separate factors that cost no more.

    Args:
        frontier: of one factor per level.
        common: of one factor for all levels, on the same cases and image.

    Raises:
        FrontierError: if they cannot be compared.
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
