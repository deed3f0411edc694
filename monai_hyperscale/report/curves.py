"""The curves of the page: score against each cost, as SVG that the dial moves along."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Optional
from xml.etree import ElementTree

from matplotlib.ticker import MaxNLocator

from monai_hyperscale.report.confirm import cases_text, points_there
from monai_hyperscale.report.markup import element
from monai_hyperscale.report.view import Cost, Point, View, band, capital

__all__ = ["chart_legend", "charts"]

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


def charts(view: View, shown: Optional[Collection[int]] = None) -> list[ElementTree.Element]:
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
            drawn.append(_figure(view, cost, points))
    return drawn


def chart_legend(view: View) -> ElementTree.Element:
    """Return what the marks of the charts mean."""

    def sample(text: str, *marks: ElementTree.Element) -> ElementTree.Element:
        drawn = element("svg", marks, viewBox="0 0 26 14", class_="chart-sample chart", aria_hidden="true")
        return element("li", drawn, text)

    entries = [
        sample(
            f"the {'φ' if view.single else 'row'} of the dial",
            element("g", element("circle", cx=13, cy=7, r=5.5), class_="cursor"),
        )
    ]
    if view.costs:
        entries.append(sample("Pareto point: nothing cheaper scores as well", _dot(13, 7, True)))
        entries.append(sample("other φ", _dot(13, 7, False)))
        entries.append(sample("knee: beyond it, cost buys little", _knee(13, 7)))
    if view.confirm is not None and view.single:
        line = element("path", d="M0 7H26", class_="path there")
        entries.append(sample(f"{view.metric} on {cases_text(view, view.confirm.other)}", line, _dot_there(13, 7)))
    band = element("rect", x=1, y=1, width=24, height=12, class_="band")
    whisker = element("line", x1=13, x2=13, y1=0, y2=14, class_="whisker")
    entries.append(sample("95 % interval over the cases", band if view.single else whisker))
    return element("ul", entries, class_="legend")


def _figure(view: View, cost: Optional[Cost], points: Sequence[Point]) -> ElementTree.Element:
    x = _Scale([point.cost for point in points], _LEFT, _WIDTH - _RIGHT, 6)
    there = points_there(view, points)
    ends = [end for point in (*points, *there) for end in (point.low, point.mean, point.high)]
    y = _Scale(ends, _HEIGHT - _BOTTOM, _TOP, 6)
    pareto = view.pareto(cost.key) if cost else []
    word = cost.title.lower() if cost else "φ"
    chart = element(
        "svg",
        _axes(x, y, f"{cost.title} ({cost.unit})" if cost else "φ"),
        _band(points, x, y) if view.single else _whiskers(points, x, y),
        _curve_there(there, x, y),
        element("g", class_="limits"),
        _dots(points, pareto, x, y),
        _marked_knee(view, cost, points, x, y),
        _cursor(),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="chart",
        role="img",
        aria_label=_description(view, word, cost, pareto),
        data_cost=cost.key if cost else "phi",
        **_data_scale("x", x, cost.scale if cost else 1.0),
        **_data_scale("y", y, 1.0),
    )
    return element("figure", element("figcaption", f"{capital(view.metric)} against {word}"), chart)


def _data_scale(axis: str, scale: _Scale, unit: float) -> dict[str, str]:
    """Return what the page's script needs to find a value's place: values in the file's units, and their pixels."""
    return {f"data_{axis}": f"{scale.low * unit:.9g} {scale.high * unit:.9g} {scale.start:g} {scale.end:g}"}


def _axes(x: _Scale, y: _Scale, axis: str) -> list[ElementTree.Element]:
    left, right, foot = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    drawn = []
    for tick in y.ticks:
        drawn.append(element("line", x1=left, x2=right, y1=_px(y(tick)), y2=_px(y(tick)), class_="gridline"))
        drawn.append(element("text", y.text(tick), x=left - 7, y=_px(y(tick) + 4), text_anchor="end"))
    for tick in x.ticks:
        drawn.append(element("line", x1=_px(x(tick)), x2=_px(x(tick)), y1=foot, y2=foot + 4, class_="frame"))
        drawn.append(element("text", x.text(tick), x=_px(x(tick)), y=foot + 17, text_anchor="middle"))
    drawn.append(element("line", x1=left, x2=right, y1=foot, y2=foot, class_="frame"))
    drawn.append(element("text", axis, x=right, y=_HEIGHT - 5, text_anchor="end"))
    return drawn


def _band(points: Sequence[Point], x: _Scale, y: _Scale) -> list[ElementTree.Element]:
    """Return the band of the intervals, and the line through the rows in the order of φ."""
    pieces = ["M" + "L".join(f"{_px(x(a))} {_px(y(b))}" for a, b in corners) + "z" for corners in band(points)]
    line = "M" + "L".join(f"{_px(x(point.cost))} {_px(y(point.mean))}" for point in points)
    return [element("path", d="".join(pieces), class_="band"), element("path", d=line, class_="path")]


def _curve_there(points: Sequence[Point], x: _Scale, y: _Scale) -> list[ElementTree.Element]:
    """Return the curve of the other cases, thin, with a small dot where a φ was measured there."""
    if not points:
        return []
    places = [(x(point.cost), y(point.mean)) for point in points]
    line = "M" + "L".join(f"{_px(left)} {_px(top)}" for left, top in places)
    return [element("path", d=line, class_="path there"), *(_dot_there(left, top) for left, top in places)]


def _whiskers(points: Sequence[Point], x: _Scale, y: _Scale) -> list[ElementTree.Element]:
    return [
        element(
            "line",
            x1=_px(x(point.cost)),
            x2=_px(x(point.cost)),
            y1=_px(y(point.low)),
            y2=_px(y(point.high)),
            class_="whisker",
        )
        for point in points
    ]


def _dots(points: Sequence[Point], pareto: Sequence[int], x: _Scale, y: _Scale) -> list[ElementTree.Element]:
    drawn = []
    for point in sorted(points, key=lambda point: point.position in pareto):  # so that Pareto points lie on top
        dot = _dot(x(point.cost), y(point.mean), point.position in pareto)
        dot.set("data-row", str(point.position))
        drawn.append(dot)
    return drawn


def _marked_knee(
    view: View, cost: Optional[Cost], points: Sequence[Point], x: _Scale, y: _Scale
) -> list[ElementTree.Element]:
    position = view.knee(cost.key) if cost else None
    knee = next((point for point in points if point.position == position), None)
    if knee is None:
        return []
    left, top = x(knee.cost), y(knee.mean)
    # To the right and below, or above where less is better, lies what is dear and poor: few points.
    near_edge, below = left > _WIDTH - 110, view.higher_is_better
    text = element(
        "text",
        f"knee, {view.phi_name(view.rows[knee.position].phi)}" if view.single else "knee",
        x=_px(left + (-8 if near_edge else 8)),
        y=_px(min(top + 24, _HEIGHT - _BOTTOM - 6) if below else max(top - 16, _TOP + 10)),
        text_anchor="end" if near_edge else "start",
        class_="knee-name",
    )
    return [_knee(left, top), text]


def _cursor() -> ElementTree.Element:
    """Return what shows the row of the dial, which the script puts in its place."""
    return element(
        "g",
        element("circle", r=5.5),
        element("line", y2=_HEIGHT - _BOTTOM),
        element("line", x1=_LEFT),
        class_="cursor",
        visibility="hidden",
    )


def _description(view: View, word: str, cost: Optional[Cost], pareto: Sequence[int]) -> str:
    text = f"{view.metric} against {word} for {len(view.rows)} rows"
    if cost is None or not pareto:
        return text + "; the numbers are in the table."
    ends = [view.rows[n] for n in (pareto[0], pareto[-1])]
    parts = [f"{view.score_text(row.score.mean)} at {cost.text(row)} {cost.unit}" for row in ends]
    return f"{text}: from {parts[0]} to {parts[1]}; the numbers are in the table."


def _dot(x: float, y: float, pareto: bool) -> ElementTree.Element:
    return element("circle", cx=_px(x), cy=_px(y), r=3 if pareto else 2.4, class_="point" + " pareto" * pareto)


def _dot_there(x: float, y: float) -> ElementTree.Element:
    return element("circle", cx=_px(x), cy=_px(y), r=1.8, class_="dot-there")


def _knee(x: float, y: float) -> ElementTree.Element:
    return element("path", d=f"M{_px(x)} {_px(y - 7)}l7 7l-7 7l-7 -7z", class_="knee")


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
