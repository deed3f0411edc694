"""The curves of the page: score against each cost; the template ``charts.html.j2`` draws them in pixels."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from matplotlib.ticker import MaxNLocator

from monai_hyperscale.report.view import Cost, Point, View, band, capital
from monai_hyperscale.report.wording import cases_text


class _Scale:
    """A linear map from values to pixels, and its ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
        self.low, self.high = low - margin, high + margin
        if low >= 0:
            self.low = max(0.0, self.low)
        self.start, self.end = start, end
        found = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        ticks = [float(tick) for tick in found if self.low <= tick <= self.high]
        step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(self.high) or 1.0
        # As many decimals as tell one step from the next, and one more for steps such as 2.5.
        decimals = max(0, -math.floor(math.log10(step)))
        decimals += not math.isclose(round(step, decimals), step, rel_tol=1e-6)
        #: Place and text of every tick.
        self.marks = [(self(tick), f"{tick:.{decimals}f}".replace("-", "−")) for tick in ticks]

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def data(self, unit: float) -> str:
        """Return what the page's script needs to find a value's place: ends in the file's units, and their pixels."""
        return f"{self.low * unit:.9g} {self.high * unit:.9g} {self.start:g} {self.end:g}"


@dataclass(frozen=True)
class Chart:
    """One curve of the page, in values, of which the cost is in ``unit``; ``left`` to ``foot`` are edges in pixels.

    ``there`` are (cost, score) on the other cases, at the page's own costs: theirs may be of another machine. With
    several factors rows have no order: no ``there``, no ``band``.
    """

    title: str
    axis: str
    description: str
    cost: str
    unit: float
    points: Sequence[Point]
    pareto: Collection[int]
    there: Sequence[tuple[float, float]]
    band: Sequence[Sequence[tuple[float, float]]]
    knee: Optional[tuple[Point, str]]
    width: int = 380
    height: int = 268
    left: int = 48
    right: int = 368
    top: int = 12
    foot: int = 228

    @property
    def line(self) -> list[tuple[float, float]]:
        """(cost, score) of the rows."""
        return [(point.cost, point.mean) for point in self.points]

    @property
    def x(self) -> _Scale:
        """From the cost to pixels."""
        return _Scale([point.cost for point in self.points], self.left, self.right)

    @property
    def y(self) -> _Scale:
        """From the score to pixels."""
        ends = [end for point in self.points for end in (point.low, point.mean, point.high)]
        return _Scale([*ends, *(score for _, score in self.there)], self.foot, self.top)


def charts(view: View) -> list[Chart]:
    """Return a chart for each cost that was measured; of the score against φ where none was."""
    costs: Sequence[Optional[Cost]] = view.costs or ([None] if view.single else [])
    return [_chart(view, cost, points) for cost in costs if (points := view.points(cost))]


def chart_legend(view: View) -> list[dict[str, Any]]:
    """Return what the marks of the charts mean: the kind of mark, and the text."""
    entries = {"cursor": f"the {'φ' if view.single else 'row'} of the dial"}
    if view.costs:
        entries["pareto"] = "Pareto point: nothing cheaper scores as well"
        entries["point"] = "other φ"
        entries["knee"] = "knee: beyond it, cost buys little"
    if view.confirm is not None and view.single:
        entries["there"] = f"{view.metric} on {cases_text(view, view.confirm.other)}"
    entries["band" if view.single else "whisker"] = "95 % interval over the cases"
    return [{"kind": kind, "text": text} for kind, text in entries.items()]


def _chart(view: View, cost: Optional[Cost], points: Sequence[Point]) -> Chart:
    word, pareto = cost.word if cost else "φ", view.pareto(cost)
    there = [(point.cost, view.there(point.position)) for point in points] if view.single else []
    knee = next((point for point in points if point.position == view.knee(cost)), None)
    description = f"{view.metric} against {word} for {len(view.rows)} rows"
    if cost is not None and pareto:
        ends = [view.rows[n] for n in (pareto[0], pareto[-1])]
        parts = [f"{view.score_text(row.score.mean)} at {cost.text(row)} {cost.unit}" for row in ends]
        description += f": from {parts[0]} to {parts[1]}"
    return Chart(
        title=f"{capital(view.metric)} against {word}",
        axis=f"{cost.title} ({cost.unit})" if cost else "φ",
        description=f"{description}; the numbers are in the table.",
        cost=cost.key if cost else "phi",
        unit=cost.scale if cost else 1.0,
        points=points,
        pareto=pareto,
        there=[(at, row.score.mean) for at, row in there if row is not None and row.score.mean is not None],
        band=band(points) if view.single else [],
        knee=knee and (knee, f"knee, {view.phi_name(view.rows[knee.position].phi)}" if view.single else "knee"),
    )
