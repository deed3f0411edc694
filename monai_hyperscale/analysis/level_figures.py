"""Figures of networks with one factor per level (SSHN C.2, Figures 12 and 13)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Optional

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monai_hyperscale.analysis.figures import BLUE, COLOURS, GREY, drawing, tidy
from monai_hyperscale.analysis.levels import check_common, check_levels, stands_for_one
from monai_hyperscale.search.results import Frontier, FrontierRow

__all__ = ["draw_level_costs", "draw_level_map"]

_COLUMNS = 4

#: A panel's title, the levels along y and x, and the score of every pair of their values.
Panel = tuple[str, int, int, Mapping[tuple[float, float], float]]


def level_panels(frontier: Frontier) -> list[Panel]:
    """Return the heat maps' content: of two factors one panel, of three a panel for each value of the first.

    Of more there is a panel for each pair of factors, with the mean over the settings of the others.
    """
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

    Settings with a score worse than ``floor`` are grey, so that the colours tell the others apart.

    Raises:
        FrontierError: if the frontier has one factor only.
    """
    panels = level_panels(frontier)
    levels, higher = len(frontier.rows[0].phi), frontier.higher_is_better
    rescaled = bool(frontier.bundle.get("settings", {}).get("rescale_input", False))
    marked = {row.phi for row in frontier.rows if stands_for_one(row.phi, rescaled)} if levels < 4 else set()
    values = [score for panel in panels for score in panel[3].values()]
    kept = [value for value in values if not _beyond(value, floor, higher)] or values
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

    Raises:
        FrontierError: if the frontier has one factor only, or that of the common factor cannot be compared with it.
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
    """Return GFLOPs and scores of the rows that have both."""
    known = [(row.flops / 1e9, row.score.mean) for row in rows if row.flops is not None and row.score.mean is not None]
    return [cost for cost, _ in known], [score for _, score in known]


def _beyond(value: float, floor: Optional[float], higher: bool) -> bool:
    return floor is not None and (value < floor if higher else value > floor)


def _ticks(axes: Any, xs: Sequence[float], ys: Sequence[float]) -> None:
    # A label for every second value or third: not all of eleven fit.
    for values, put in ((xs, axes.set_xticks), (ys, axes.set_yticks)):
        step = max(1, math.ceil(len(values) / 4))
        places = range(0, len(values), step)
        put(list(places), [f"{values[place]:g}" for place in places])


def _sub(level: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(level))
