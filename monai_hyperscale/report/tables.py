"""The labels' bars and the table of all rows."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from monai_hyperscale.report.confirm import cases_text
from monai_hyperscale.report.view import View, capital, extra_mean, significant
from monai_hyperscale.search.results import FrontierRow, Interval

__all__ = ["bar_facts", "bar_heads", "bars_end", "label_bars", "row_table"]


def bars_end(view: View) -> float:
    """Return the score at which the bars' troughs end: 1 for a share, else the largest of any label."""
    if view.is_share:
        return 1.0
    means = [_mean(row, value) for row in view.rows for value in view.labels]
    return max((abs(mean) for mean in means if mean is not None), default=1.0) or 1.0


def bar_facts(view: View, position: int) -> list[list[Any]]:
    """Return what the script needs of every label in a row: mean, interval, both as text, and the change."""
    facts = []
    for value in view.labels:
        score = view.rows[position].labels.get(value)
        mean = _mean(view.rows[position], value)
        other = _mean(view.rows[view.reference], value)
        change = "" if position == view.reference else view.score_change(mean, other)
        interval = [None, None] if score is None else [score.low, score.high]
        facts.append([mean, *interval, view.score_text(mean), change.removesuffix(" points")])
    return facts


class LabelBar(NamedTuple):
    """One label's bar, in per cent of the trough's length."""

    number: int
    name: str
    volume: str
    bar: str
    mark: Optional[str]
    low: str
    high: str
    known: bool
    text: str
    change: str


def label_bars(view: View) -> list[LabelBar]:
    """Return one bar for every label, at the φ that is shown first."""
    end, first = bars_end(view), bar_facts(view, view.chosen)
    reference = view.rows[view.reference]
    volumes: dict[str, float] = view.frontier.data.get("mean_volumes") or {}
    bars = []
    # As in SSHN's Figure 4 the largest first.
    for number, (value, name) in sorted(enumerate(view.labels.items()), key=lambda entry: -volumes.get(entry[1][0], 0)):
        mean, low, high, text, change = first[number]
        mark = _mean(reference, value)
        bars.append(
            LabelBar(
                number,
                name,
                _volume(view, volumes.get(value)),
                bar=_place(mean, end),
                mark=None if mark is None else _place(mark, end),
                low=_place(low, end),
                high=_place(high, end),
                known=low is not None,
                text=text,
                change=change,
            )
        )
    return bars


def bar_heads(view: View) -> list[str]:
    """Return the heads of the labels' bars."""
    against = f"against {view.phi_name(view.rows[view.reference].phi)}"
    end = "1" if view.is_share else significant(bars_end(view))
    return ["Label", f"0 to {end}", view.metric, against + (", points" if view.is_share else "")]


def _volume(view: View, volume: Optional[float]) -> str:
    # Of 2D images it is an area, in pixels or mm²: good for the order alone.
    if volume is None or view.frontier.bundle["settings"].get("spatial_dims") != 3:
        return ""
    return f"{volume:,.0f} mm³"


class Cell(NamedTuple):
    """A cell of the table of rows: its text, and the number that it is sorted by."""

    text: str
    value: Optional[float]


def row_table(view: View) -> tuple[list[str], list[list[Cell]]]:
    """Return heads and rows of the table, which the script sorts; the last column is words where there are costs."""
    several = len(view.labels) > 1
    heads = ["φ", capital(view.metric), "95 % interval"]
    if view.confirm is not None:
        heads += [f"{capital(view.metric)}, {cases_text(view, view.confirm.other)}", "95 % interval there"]
    heads += list(view.labels.values()) if several else []
    for cost in view.costs:
        heads += [f"{cost.title} ({cost.unit})"] + ["Quartiles"] * (cost.key == "latency")
    # The same for every φ where weights are generated for one shape; then they stand with the network.
    parameters = len({row.parameters for row in view.rows}) > 1
    heads += ["Parameters"] if parameters else []
    heads += [column.title + " (%)" * column.share for column in view.task.columns]
    heads += ["Pareto for"] if view.costs else []
    fronts = {cost.word: set(view.pareto(cost.key)) for cost in view.costs}
    lines = []
    for n, row in enumerate(view.rows):
        score = row.score
        cells = [Cell(view.phi_text(row.phi), n)]
        cells.append(Cell(view.score_text(score.mean), score.mean))
        cells.append(Cell(_range(view.score_text(score.low), view.score_text(score.high)), score.low))
        if view.confirm is not None:
            there = view.confirm.other.row(row.phi)
            found = Interval(None, None, None) if there is None else there.score
            cells.append(Cell("not measured" if there is None else view.score_text(found.mean), found.mean))
            cells.append(Cell(_range(view.score_text(found.low), view.score_text(found.high)), found.low))
        if several:
            means = [_mean(row, value) for value in view.labels]
            cells += [Cell(view.score_text(mean), mean) for mean in means]
        for cost in view.costs:
            cells.append(Cell(cost.text(row), cost.of(row)))
            if cost.key == "latency":
                spread = row.latency
                ends = ["–"] * 2 if spread is None else [significant(v / cost.scale) for v in (spread.low, spread.high)]
                cells.append(Cell(_range(*ends), None if spread is None else spread.low))
        if parameters:
            cells.append(Cell("–" if row.parameters is None else f"{row.parameters:,}", row.parameters))
        for column in view.task.columns:
            value = extra_mean(row, column)
            cells.append(Cell(view.column_text(column, row), 100 * value if value and column.share else value))
        if view.costs:
            names = [word for word, front in fronts.items() if n in front]
            cells.append(Cell(", ".join(names), len(names)))
        lines.append(cells)
    return heads, lines


def _range(low: str, high: str) -> str:
    return f"{low} – {high}" if low != "–" else "–"


def _place(value: Optional[float], end: float) -> str:
    return f"{100 * min(1.0, max(0.0, (value or 0.0) / end)):.3f}"


def _mean(row: FrontierRow, value: str) -> Optional[float]:
    score = row.labels.get(value)
    return None if score is None else score.mean
