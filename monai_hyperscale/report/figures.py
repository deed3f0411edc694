"""The curves of a frontier as figures for papers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Optional, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Path2D

from monai_hyperscale.analysis.figures import BLUE, GREY, drawing, save_figure, tidy
from monai_hyperscale.io.files import replacing
from monai_hyperscale.report.view import Cost, Point, View, band
from monai_hyperscale.search.results import Frontier

_SIZE = (3.5, 2.6)  # inches: one column of a paper


def write_figures(frontier: Frontier, folder: Union[str, Path]) -> list[Path]:
    """Draw the score against each measured cost, with confidence band, Pareto points and knee, into a folder.

    Returns:
        the files: ``score_flops``, ``score_latency`` and ``score_memory``, those that were measured, as PNG of 300 dpi
        and as SVG; and ``score_phi``, but for factors per level, which have no order. All are written, or none.

    Raises:
        OSError: if they cannot be written.
    """
    view, paths = View(frontier), [Path(folder) / name for name in figure_names(frontier)]
    with ExitStack() as stack:
        for number, cost in enumerate(_costs(view)):
            figure = _figure(view, cost)  # once for both of its files
            for path in paths[2 * number : 2 * number + 2]:
                save_figure(figure, stack.enter_context(replacing(path)))
    return paths


def figure_names(frontier: Frontier) -> list[str]:
    """Return the names of the files that :func:`write_figures` writes."""
    keys = ["phi" if cost is None else cost.key for cost in _costs(View(frontier))]
    return [f"score_{key}{suffix}" for key in keys for suffix in (".png", ".svg")]


def _costs(view: View) -> list[Optional[Cost]]:
    """Return what curves are drawn over; ``None`` for φ itself."""
    return [*view.costs, *([None] if view.single or not view.costs else [])]


def _figure(view: View, cost: Optional[Cost]) -> Figure:
    """Draw the rows with their intervals, the Pareto points and the knee."""
    points = view.points(cost)
    with drawing(*_SIZE) as figure:
        axes = figure.subplots()
        tidy(axes, f"{cost.title} ({cost.unit})" if cost else "φ", view.metric)
        if points:
            _draw(axes, view, cost, points)
    return figure


def _draw(axes: Axes, view: View, cost: Optional[Cost], points: list[Point]) -> None:
    _, x, means, lows, highs = (np.array(values) for values in zip(*points, strict=True))
    if view.single:
        pieces = [Path2D([*corners, corners[0]], closed=True) for corners in band(points)]
        if pieces:
            axes.add_patch(PathPatch(Path2D.make_compound_path(*pieces), color=BLUE, alpha=0.15, linewidth=0))
        axes.plot(x, means, color=GREY, linewidth=0.6, zorder=2)
    else:
        axes.vlines(x, lows, highs, color=BLUE, alpha=0.3, linewidth=0.8)
    axes.scatter(x, means, s=7, facecolor="white", edgecolor=GREY, linewidth=0.6, zorder=3)
    best, knee = set(view.pareto(cost)), view.knee(cost)
    front = [(point.cost, point.mean) for point in points if point.position in best]
    if front:
        xs, ys = zip(*front, strict=True)
        axes.scatter(xs, ys, s=10, color=BLUE, zorder=4)
    at = next(((point.cost, point.mean) for point in points if point.position == knee), None)
    if at is not None and knee is not None:
        axes.scatter(at[0], at[1], s=60, marker="D", facecolor="none", edgecolor="black", linewidth=0.9, zorder=5)
        name = view.phi_name(view.rows[knee].phi) if view.single else "knee"
        down = -14 if view.higher_is_better else 8
        axes.annotate(name, at, textcoords="offset points", xytext=(6, down), fontsize=7)
