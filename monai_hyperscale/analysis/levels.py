"""Networks with one factor per level: which factor counts, and what they are worth together (SSHN C.2, 12 and 13)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Optional

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monai_hyperscale.analysis.figures import BLUE, COLOURS, GREY, drawing, tidy
from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.results import Frontier, FrontierRow

_COLUMNS = 4


@dataclass(frozen=True)
class FactorInfluence:
    """What factor number ``level`` does to the score over its ``values``, in ``settings`` of the other factors.

    Those with at least two values are compared: ``change`` is the mean of the greatest less the least score, ``rise``
    of that at the greatest value less that at the least. ``best`` has the best mean where all values were measured.
    """

    level: int
    values: tuple[float, ...]
    settings: int
    change: Optional[float]
    rise: Optional[float]
    best: Optional[float]


@dataclass(frozen=True)
class LevelGain:
    """What ``separate`` factors score at the cost of a common one: ``phi`` with its ``flops`` and score, ``common``.

    It is the best score at no more operations, of these ``factors``; ``None`` where all have more.
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
    """Return how much the score changes as each factor goes over its range (SSHN C.2); a single one is an error."""
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

    ``FrontierError`` is raised if metric, cases or image are not the same.
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


#: A panel's title, the levels along y and x, and the score of every pair of their values.
Panel = tuple[str, int, int, Mapping[tuple[float, float], float]]


def level_panels(frontier: Frontier) -> list[Panel]:
    """Return the heat maps' content: of two factors one panel, of three one per value of the first, else per pair."""
    count = check_levels(frontier)
    scores = {row.phi: row.score.mean for row in frontier.rows if row.score.mean is not None}
    if count == 2:
        return [("", 0, 1, {(y, x): score for (y, x), score in scores.items()})]
    if count == 3:
        firsts = sorted({phi[0] for phi in scores})
        cells_of = {first: {phi[1:]: score for phi, score in scores.items() if phi[0] == first} for first in firsts}
        return [(f"φ₀ = {first:g}", 1, 2, cells) for first, cells in cells_of.items()]  # type: ignore[misc]
    panels: list[Panel] = []
    for y, x in itertools.combinations(range(count), 2):
        cells: dict[tuple[float, float], list[float]] = {}
        for phi, score in scores.items():
            cells.setdefault((phi[y], phi[x]), []).append(score)
        panels.append(("mean over the other factors", y, x, {cell: fmean(values) for cell, values in cells.items()}))
    return panels


def draw_level_map(frontier: Frontier, floor: Optional[float] = None) -> Figure:
    """Draw heat maps of the score over pairs of factors; framed in white is what one common factor stands for.

    Scores worse than ``floor`` are grey, so that the colours tell the others apart. One factor only is a FrontierError.
    """
    panels = level_panels(frontier)
    levels, higher = len(frontier.rows[0].phi), frontier.higher_is_better
    rescaled = bool(frontier.bundle.get("settings", {}).get("rescale_input", False))
    marked = {row.phi for row in frontier.rows if stands_for_one(row.phi, rescaled)} if levels < 4 else set()
    values = [score for panel in panels for score in panel[3].values()]
    kept = [value for value in values if floor is None or (value >= floor if higher else value <= floor)] or values
    colours = colormaps["viridis" if higher else "viridis_r"].with_extremes(under=GREY, over=GREY, bad="white")
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with drawing(0.9 + 1.7 * columns, 0.5 + 1.7 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        picture: Any = None
        for axes, panel in itertools.zip_longest(grid.flat, panels):
            if panel is None:
                axes.axis("off")
                continue
            title, y, x, cells = panel
            ys, xs = (sorted({row.phi[level] for row in frontier.rows}) for level in (y, x))
            table = np.array([[cells.get((b, a), np.nan) for a in xs] for b in ys])
            picture = axes.imshow(
                table, origin="lower", cmap=colours, vmin=min(kept), vmax=max(kept), aspect="auto", interpolation="none"
            )
            _ticks(axes, xs, ys)
            tidy(axes, f"φ{_sub(x)}", f"φ{_sub(y)}", title)
            for phi in marked:
                if levels == 2 or title == f"φ₀ = {phi[0]:g}":
                    corner = (xs.index(phi[x]) - 0.5, ys.index(phi[y]) - 0.5)
                    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=1.2, clip_on=False))
        masked = ("min" if higher else "max") if len(kept) < len(values) else "neither"
        figure.colorbar(picture, ax=grid, label=frontier.metric["name"], extend=masked)
    return figure


def draw_level_costs(frontier: Frontier, common: Optional[Frontier] = None) -> Figure:
    """Draw the score against operations: every setting, the Pareto points as a line, and a common factor beside them.

    ``FrontierError`` is raised if there is one factor only, or the common factor's results cannot be compared.
    """
    check_levels(frontier)
    with drawing(4.5, 3.0) as figure:
        axes = figure.subplots()
        axes.scatter(*_points(frontier.rows), s=4, color=BLUE, alpha=0.25, linewidth=0, label="a factor per level")
        best = _points([frontier.rows[index] for index in frontier.pareto["flops"]])
        axes.plot(*best, color=BLUE, linewidth=1.2, label="a factor per level, Pareto")
        if common is not None:
            check_common(frontier, common)
            points = _points(sorted(common.rows, key=lambda row: row.phi))
            axes.plot(*points, ".-", color=COLOURS[1], linewidth=1.0, markersize=3, label="one factor for all")
        tidy(axes, "GFLOPs", frontier.metric["name"], grid="both")
        axes.legend(loc="lower right" if frontier.higher_is_better else "upper right")
    return figure


def _points(rows: Sequence[FrontierRow]) -> tuple[list[float], list[float]]:
    known = [(row.flops / 1e9, row.score.mean) for row in rows if row.flops is not None and row.score.mean is not None]
    return [cost for cost, _ in known], [score for _, score in known]


def _ticks(axes: Any, xs: Sequence[float], ys: Sequence[float]) -> None:
    # A label for every second value or third: not all of eleven fit.
    for values, put in ((xs, axes.set_xticks), (ys, axes.set_yticks)):
        step = max(1, math.ceil(len(values) / 4))
        places = range(0, len(values), step)
        put(list(places), [f"{values[place]:g}" for place in places])


def _sub(level: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(level))
