"""The curves of the page: score against each cost, in the pixels of the SVG that the dial moves along."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from matplotlib.ticker import MaxNLocator

from monai_hyperscale.report.confirm import cases_text, points_there
from monai_hyperscale.report.view import Cost, Point, View, band, capital

__all__ = ["Chart", "chart_legend", "charts"]

_WIDTH, _HEIGHT = 380, 268
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 40


class _Scale:
    """A linear map from values to pixels, and its ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float, ticks: int) -> None:
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        self.low, self.high = low - margin, high + margin
        if low >= 0:
            self.low = max(0.0, self.low)
        self.start, self.end = start, end
        found = MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        self.ticks = [float(tick) for tick in found if self.low <= tick <= self.high]
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else abs(self.high) or 1.0
        # As many decimals as tell one step from the next, and one more for steps such as 2.5.
        decimals = max(0, -math.floor(math.log10(step)))
        self._decimals = decimals + (not math.isclose(round(step, decimals), step, rel_tol=1e-6))

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def text(self, tick: float) -> str:
        return f"{tick:.{self._decimals}f}".replace("-", "−")

    @property
    def marks(self) -> list[tuple[str, str]]:
        """Place and text of every tick."""
        return [(_px(self(tick)), self.text(tick)) for tick in self.ticks]

    def data(self, unit: float) -> str:
        """Return what the page's script needs to find a value's place: ends in the file's units, and their pixels."""
        return f"{self.low * unit:.9g} {self.high * unit:.9g} {self.start:g} {self.end:g}"


class Dot(NamedTuple):
    """A row on a chart, in pixels."""

    x: str
    y: str
    row: int
    pareto: bool


class Knee(NamedTuple):
    """The knee's mark and its name beside it, in pixels."""

    x: float
    y: float
    text: str
    text_x: str
    text_y: str
    anchor: str


@dataclass(frozen=True)
class Chart:
    """One curve of the page, in pixels.

    Attributes:
        title: above the chart.
        axis: name of the horizontal axis.
        description: for those who do not see it.
        cost: key of the cost, or ``phi``.
        x: the horizontal scale.
        y: the vertical scale.
        unit: of the cost, in those of the file.
        band: path of the intervals, and ``line`` of the rows in the order of φ; empty where there are several factors.
        whiskers: (x, low, high) of every row where there are several factors.
        there: places of the scores on the other cases.
        dots: of all rows, Pareto points last, so that they lie on top.
        knee: where the knee is.
    """

    title: str
    axis: str
    description: str
    cost: str
    x: _Scale
    y: _Scale
    unit: float
    band: str
    line: str
    whiskers: Sequence[tuple[str, str, str]]
    there: Sequence[tuple[str, str]]
    dots: Sequence[Dot]
    knee: Optional[Knee]
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    foot: int = _HEIGHT - _BOTTOM


def charts(view: View, shown: Optional[Collection[int]] = None) -> list[Chart]:
    """Return a chart for each cost that was measured; of the score against φ where none was.

    Args:
        view: of the frontier.
        shown: positions of the rows to draw; all by default.
    """
    costs: list[Optional[Cost]] = [*view.costs]
    if not costs and view.single:
        costs = [None]
    drawn = []
    for cost in costs:
        points = [point for point in view.points(cost) if shown is None or point.position in shown]
        if points:
            drawn.append(_chart(view, cost, points))
    return drawn


def chart_legend(view: View) -> list[dict[str, Any]]:
    """Return what the marks of the charts mean: the kind of mark, and the text."""
    entries = [{"kind": "cursor", "text": f"the {'φ' if view.single else 'row'} of the dial"}]
    if view.costs:
        entries.append({"kind": "pareto", "text": "Pareto point: nothing cheaper scores as well"})
        entries.append({"kind": "point", "text": "other φ"})
        entries.append({"kind": "knee", "text": "knee: beyond it, cost buys little"})
    if view.confirm is not None and view.single:
        entries.append({"kind": "there", "text": f"{view.metric} on {cases_text(view, view.confirm.other)}"})
    entries.append({"kind": "band" if view.single else "whisker", "text": "95 % interval over the cases"})
    return entries


def _chart(view: View, cost: Optional[Cost], points: Sequence[Point]) -> Chart:
    x = _Scale([point.cost for point in points], _LEFT, _WIDTH - _RIGHT, 6)
    there = points_there(view, points)
    ends = [end for point in (*points, *there) for end in (point.low, point.mean, point.high)]
    y = _Scale(ends, _HEIGHT - _BOTTOM, _TOP, 6)
    pareto = view.pareto(cost.key) if cost else []
    word = cost.title.lower() if cost else "φ"
    ordered = sorted(points, key=lambda point: point.position in pareto)

    def path(corners: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{_px(x(a))} {_px(y(b))}" for a, b in corners)

    return Chart(
        title=f"{capital(view.metric)} against {word}",
        axis=f"{cost.title} ({cost.unit})" if cost else "φ",
        description=_description(view, word, cost, pareto),
        cost=cost.key if cost else "phi",
        x=x,
        y=y,
        unit=cost.scale if cost else 1.0,
        band="".join(path(corners) + "z" for corners in band(points)) if view.single else "",
        line=path([(point.cost, point.mean) for point in points]) if view.single else "",
        whiskers=[] if view.single else [(_px(x(p.cost)), _px(y(p.low)), _px(y(p.high))) for p in points],
        there=[(_px(x(point.cost)), _px(y(point.mean))) for point in there],
        dots=[Dot(_px(x(p.cost)), _px(y(p.mean)), p.position, p.position in pareto) for p in ordered],
        knee=_knee(view, cost, points, x, y),
    )


def _knee(view: View, cost: Optional[Cost], points: Sequence[Point], x: _Scale, y: _Scale) -> Optional[Knee]:
    position = view.knee(cost.key) if cost else None
    knee = next((point for point in points if point.position == position), None)
    if knee is None:
        return None
    left, top = x(knee.cost), y(knee.mean)
    # To the right and below, or above where less is better, lies what is dear and poor: few points.
    near_edge, below = left > _WIDTH - 110, view.higher_is_better
    return Knee(
        left,
        top,
        f"knee, {view.phi_name(view.rows[knee.position].phi)}" if view.single else "knee",
        _px(left + (-8 if near_edge else 8)),
        _px(min(top + 24, _HEIGHT - _BOTTOM - 6) if below else max(top - 16, _TOP + 10)),
        "end" if near_edge else "start",
    )


def _description(view: View, word: str, cost: Optional[Cost], pareto: Sequence[int]) -> str:
    text = f"{view.metric} against {word} for {len(view.rows)} rows"
    if cost is None or not pareto:
        return text + "; the numbers are in the table."
    ends = [view.rows[n] for n in (pareto[0], pareto[-1])]
    parts = [f"{view.score_text(row.score.mean)} at {cost.text(row)} {cost.unit}" for row in ends]
    return f"{text}: from {parts[0]} to {parts[1]}; the numbers are in the table."


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
