"""The labels' bars, the stages from file to file, and the table of all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional, Union

from monai_hyperscale.report.view import View, capital, significant
from monai_hyperscale.report.wording import cases_text
from monai_hyperscale.search.results import Interval, Latency


def bars_end(view: View) -> float:
    """Return the score at which the bars' troughs end: 1 for a share, else the largest of any label."""
    if view.is_share:
        return 1.0
    return max((abs(mean) for n in range(len(view.rows)) for mean in _means(view, n) if mean is not None), default=1.0)


def bar_facts(view: View, position: int) -> list[list[Any]]:
    """Return what the script needs of every label in a row: mean, interval, both as text, and the change."""
    facts = []
    for value, mean, other in zip(view.labels, _means(view, position), _means(view, view.reference), strict=True):
        score = view.rows[position].labels.get(value)
        change = "" if position == view.reference else view.score_change(mean, other)
        interval = [None, None] if score is None else [score.low, score.high]
        facts.append([mean, *interval, view.score_text(mean), change.removesuffix(" points")])
    return facts


def _means(view: View, position: int) -> list[Optional[float]]:
    found = [view.rows[position].labels.get(value) for value in view.labels]
    return [None if score is None else score.mean for score in found]


class LabelBar(NamedTuple):
    """One label's bar: its number, name, volume in words, :func:`bar_facts`, and the score of the reference."""

    number: int
    name: str
    volume: str
    facts: list[Any]
    mark: Optional[float]


def label_bars(view: View) -> tuple[list[str], list[LabelBar]]:
    """Return heads, and one bar for every label at the φ that is shown first."""
    against = f"against {view.phi_name(view.rows[view.reference].phi)}"
    end = "1" if view.is_share else significant(bars_end(view))
    heads = ["Label", f"0 to {end}", view.metric, against + (", points" if view.is_share else "")]
    volumes: dict[str, float] = view.frontier.data.get("mean_volumes") or {}
    # Of 2D images it is an area, in pixels or mm²: good for the order alone.
    told = volumes if view.frontier.bundle["settings"].get("spatial_dims") == 3 else {}
    facts, marks = bar_facts(view, view.chosen), _means(view, view.reference)
    bars = [
        LabelBar(n, name, f"{told[value]:,.0f} mm³" if value in told else "", facts[n], marks[n])
        for n, (value, name) in enumerate(view.labels.items())
    ]
    # As in SSHN's Figure 4 the largest first.
    sizes = [volumes.get(value, 0.0) for value in view.labels]
    return heads, sorted(bars, key=lambda bar: -sizes[bar.number])


def stage_names(view: View) -> list[str]:
    """Return the stages that any row has times of, in the order in which an image goes through them."""
    return list(dict.fromkeys(name for row in view.rows for name in row.stages))


def stage_facts(view: View, position: int) -> list[list[Any]]:
    """Return what the script needs of every stage in a row: its place on the common scale, seconds, and share."""
    stages = view.rows[position].stages
    whole, longest = sum(stages.values()), max((max(row.stages.values(), default=0.0) for row in view.rows), default=0)
    facts: list[list[Any]] = []
    for name in stage_names(view):
        seconds = stages.get(name)
        if seconds is None or not whole:
            facts.append([0.0, "–", ""])
        else:
            facts.append([round(100 * seconds / longest, 3), _seconds(seconds), f"{100 * seconds / whole:.0f} %"])
    if facts:
        outside = whole - stages.get("network", 0.0)
        facts.append([None, _seconds(whole) if whole else "–", f"{100 * outside / whole:.0f} %" if whole else ""])
    return facts


def _seconds(value: float) -> str:
    return significant(value, 2) if value >= 0.001 else "< 0.001"


# The text of a cell of the table of rows, and the number that it is sorted by.
Cell = tuple[str, Optional[float]]


def row_table(view: View) -> tuple[list[str], list[tuple[Cell, ...]]]:
    """Return heads and rows of the table, which the script sorts; the last column is words where there are costs."""
    rows, metric = view.rows, capital(view.metric)
    # A list: labels may have any names.
    columns: list[tuple[str, list[Cell]]] = [("φ", [(view.phi_text(row.phi), n) for n, row in enumerate(rows)])]

    def add_scores(head: str, interval_head: str, scores: Sequence[Optional[Interval]], missing: str = "–") -> None:
        columns.append((head, [(view.score_text(s.mean), s.mean) if s else (missing, None) for s in scores]))
        columns.append((interval_head, [_between(s, view.score_text) for s in scores]))

    add_scores(metric, "95 % interval", [row.score for row in rows])
    if view.confirm is not None:
        there = [None if row is None else row.score for row in map(view.there, range(len(rows)))]
        add_scores(f"{metric}, {cases_text(view, view.confirm.other)}", "95 % interval there", there, "not measured")
    if len(view.labels) > 1:
        means = zip(*(_means(view, n) for n in range(len(rows))), strict=True)
        for name, values in zip(view.labels.values(), means, strict=True):
            columns.append((name, [(view.score_text(mean), mean) for mean in values]))
    for cost in view.costs:
        columns.append((f"{cost.title} ({cost.unit})", [(cost.text(row), cost.of(row)) for row in rows]))
        if cost.key == "latency":
            columns.append(("Quartiles", [_between(row.latency, cost.figures) for row in rows]))
    # The same for every φ where weights are generated for one shape; then they stand with the network.
    counts = [row.parameters for row in rows]
    if len(set(counts)) > 1:
        columns.append(("Parameters", [("–", None) if count is None else (f"{count:,}", count) for count in counts]))
    for column in view.task.columns:
        columns.append((column.title + " (%)" * column.share, [view.column(column, row) for row in rows]))
    if view.costs:
        fronts = {cost.word: set(view.pareto(cost)) for cost in view.costs}
        names = [[word for word, front in fronts.items() if n in front] for n in range(len(rows))]
        columns.append(("Pareto for", [(", ".join(found), len(found)) for found in names]))
    return [head for head, _ in columns], list(zip(*(cells for _, cells in columns), strict=True))


def _between(found: Union[Interval, Latency, None], text: Callable[[Any], str]) -> Cell:
    """Return the cell of a range, which is sorted by its lower end."""
    if found is None or found.low is None:
        return "–", None
    return f"{text(found.low)} – {text(found.high)}", found.low
