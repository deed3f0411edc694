"""The curves of a frontier as figures for papers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional, Union

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Path2D

from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.report.view import Cost, View, band
from monai_hyperscale.search.results import Frontier

__all__ = ["figure_names", "write_figures"]

_BLUE, _GREY = "#0072b2", "#8a939b"
_SIZE = (3.5, 2.6)  # inches: one column of a paper
# Text stays text, and the same curves give the same file.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "monai-hyperscale",
    "font.size": 8,
    "axes.linewidth": 0.6,
}


def write_figures(frontier: Frontier, folder: Union[str, Path]) -> list[Path]:
    """Draw the score against each measured cost, with confidence band, Pareto points and knee.

    Args:
        frontier: as ``read_frontier`` gives it.
        folder: where the files go; all are written, or none.

    Returns:
        the files: ``score_flops``, ``score_latency`` and ``score_memory``, those that were measured, as PNG of 300 dpi
        and as SVG; and ``score_phi``, but for factors per level, which have no order.

    Raises:
        OSError: if they cannot be written.
    """
    view, paths = View(frontier), [Path(folder) / name for name in figure_names(frontier)]
    with ExitStack() as stack:
        # A figure once for both of its files.
        costs = _costs(view)
        for number, cost in enumerate(costs):
            with matplotlib.rc_context(_STYLE):
                figure = _figure(view, cost)
                for path in paths[2 * number : 2 * number + 2]:
                    temporary, kind = stack.enter_context(replacing(path)), path.suffix[1:]
                    metadata = {"Date": None} if kind == "svg" else {}
                    figure.savefig(temporary, format=kind, dpi=300, metadata=metadata)
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
    # A canvas of its own, not pyplot: no display, no state shared with the caller's figures.
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(f"{cost.title} ({cost.unit})" if cost else "φ")
    axes.set_ylabel(view.metric)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(width=0.6, length=3)
    points = view.points(cost)
    if not points:
        return figure
    _, x, means, lows, highs = (np.array(values) for values in zip(*points, strict=True))
    if view.single:
        pieces = [Path2D([*corners, corners[0]], closed=True) for corners in band(points)]
        if pieces:
            axes.add_patch(PathPatch(Path2D.make_compound_path(*pieces), color=_BLUE, alpha=0.15, linewidth=0))
        axes.plot(x, means, color=_GREY, linewidth=0.6, zorder=2)
    else:
        axes.vlines(x, lows, highs, color=_BLUE, alpha=0.3, linewidth=0.8)
    axes.scatter(x, means, s=7, facecolor="white", edgecolor=_GREY, linewidth=0.6, zorder=3)
    best, knee = set(view.pareto(cost)), view.knee(cost)
    front = [(point.cost, point.mean) for point in points if point.position in best]
    if front:
        xs, ys = zip(*front, strict=True)
        axes.scatter(xs, ys, s=10, color=_BLUE, zorder=4)
    at = next(((point.cost, point.mean) for point in points if point.position == knee), None)
    if at is not None and knee is not None:
        axes.scatter(at[0], at[1], s=60, marker="D", facecolor="none", edgecolor="black", linewidth=0.9, zorder=5)
        name = view.phi_name(view.rows[knee].phi) if view.single else "knee"
        down = -14 if view.higher_is_better else 8
        axes.annotate(name, at, textcoords="offset points", xytext=(6, down), fontsize=7)
    return figure
