"""How figures look, and how they become files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, Union

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Of Okabe and Ito, told apart by colour-blind readers.
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


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure of this size in inches to draw on in our style: no display, no state that is shared."""
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def tidy(axes: Axes, x: str, y: str, title: Optional[str] = None, grid: Optional[str] = None) -> None:
    """Label the axes, leave only two of the frame's sides, and rule the axes that ``grid`` names."""
    axes.set(xlabel=x, ylabel=y)
    if title:
        axes.set_title(title, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(width=0.6, length=3)
    if grid is not None:
        axes.grid(axis=grid, alpha=0.3, linewidth=0.5)  # type: ignore[arg-type]


def save_figure(figure: Figure, path: Union[str, Path]) -> None:
    """Write a figure as PNG of 300 dpi or as SVG, by the suffix of ``path``; the caller replaces files whole."""
    kind = Path(path).suffix[1:].lower()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format=kind, dpi=300, metadata={"Date": None} if kind == "svg" else {})
