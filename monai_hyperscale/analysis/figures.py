"""How the figures of analyses look, and how they become files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional, Union

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["BLUE", "COLOURS", "GREY", "new_figure", "save_figure", "tidy"]

#: Of Okabe and Ito, told apart by colour-blind readers; the first is that of the report's figures.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BLUE, GREY = COLOURS[0], "#8a939b"
# Text stays text, and the same numbers give the same file.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "monai-hyperscale",
    "font.size": 8,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, with a canvas of its own: no display, no state that is shared."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, x: str, y: str, title: Optional[str] = None) -> None:
    """Label the axes and leave only two of the frame's sides."""
    axes.set(xlabel=x, ylabel=y)
    if title is not None:
        axes.set_title(title, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(width=0.6, length=3)


def save_figure(figure: Figure, path: Union[str, Path]) -> None:
    """Write a figure as PNG of 300 dpi or as SVG, by the suffix of ``path``; the caller replaces files whole.

    Args:
        figure: one of the drawing functions'.
        path: of the file.
    """
    kind = Path(path).suffix[1:].lower()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format=kind, dpi=300, metadata={"Date": None} if kind == "svg" else {})


def drawing() -> Any:
    """Return the context in which figures are drawn."""
    return matplotlib.rc_context(_STYLE)
