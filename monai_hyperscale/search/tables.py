"""A frontier as tables: CSV files, and on the screen."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

from monai_hyperscale.console.tables import print_table
from monai_hyperscale.search.results import COSTS, Frontier, Interval, phi_name
from monai_hyperscale.tasks import task_named

_UNITS = {"flops": ("GFLOPs", 1e9), "latency": ("ms", 1e-3), "memory": ("MB working", 1e6)}
_ENDS = ("", "_low", "_high")
# Columns that are no label's.
_OWN = ["phi", "flops", "parameters", "latency_s", "latency_low_s", "latency_high_s", "memory_bytes"]
_OWN += [f"score{end}" for end in _ENDS] + [f"pareto_{cost}" for cost in COSTS]


def per_phi(frontier: Frontier) -> str:
    """Return a frontier as CSV with one line per φ."""
    extra = task_named(frontier.task).columns
    # The first column of every label: its name, with its value where another column has the same.
    labels = frontier.labels.values()
    taken = Counter([*_OWN, *(name + end for name in [*(c.name for c in extra), *labels] for end in _ENDS)])
    clear = {name: all(taken[name + end] == 1 for end in _ENDS) for name in labels}
    names = {value: name if clear[name] else f"{name} ({value})" for value, name in frontier.labels.items()}
    lines = []
    for index, row in enumerate(frontier.rows):
        line: dict[str, Any] = {"phi": phi_name(row.phi), "flops": row.flops, "parameters": row.parameters}
        line["latency_s"] = row.cost("latency")
        for end in ("low", "high"):
            line[f"latency_{end}_s"] = None if row.latency is None else getattr(row.latency, end)
        line |= {"memory_bytes": row.memory} | _columns("score", row.score)
        for value, name in names.items():
            line |= _columns(name, row.labels[value])
        for column in extra:
            found = row.extra.get(column.name, Interval(None, None, None))
            line |= {column.name: found.mean} if column.share else _columns(column.name, found)
        lines.append(line | {f"pareto_{cost}": int(index in best) for cost, best in frontier.pareto.items()})
    return _csv(list(lines[0]), [list(line.values()) for line in lines])


def per_case(frontier: Frontier) -> str:
    """Return a frontier as CSV with one line per φ, case and label."""
    lines = [
        [phi_name(row.phi), case, value, frontier.labels[value], score]
        for row in frontier.rows
        for case, scores in row.cases.items()
        for value, score in scores.items()
    ]
    return _csv(["phi", "case", "label", "name", "score"], lines)


def print_frontier(frontier: Frontier) -> None:
    """Print what every φ costs and scores, which are on the Pareto front of which cost, and where all score nothing."""
    costs = [cost for cost in _UNITS if cost in frontier.pareto]
    extra = task_named(frontier.task).columns
    header = ["phi", *(_UNITS[cost][0] for cost in costs), frontier.metric["name"], "95 % interval"]
    header += [*(column.name + " %" * column.share for column in extra), "Pareto for (* knee)"]
    lines = []
    for index, row in enumerate(frontier.rows):
        line = [phi_name(row.phi)]
        for cost in costs:
            value = row.cost(cost)
            line.append("" if value is None else f"{value / _UNITS[cost][1]:.4g}")
        line += [_figures(row.score.mean), f"{_figures(row.score.low)} - {_figures(row.score.high)}"]
        for column in extra:
            value = row.extra.get(column.name, Interval(None, None, None)).mean
            line.append(f"{100 * value:.2g}" if column.share and value is not None else _figures(value))
        best = [cost + "*" * (frontier.knee.get(cost) == index) for cost in costs if index in frontier.pareto[cost]]
        lines.append([*line, ", ".join(best)])
    print_table(lines, header, left=[len(header) - 1])
    if frontier.metric["higher_is_better"] and all(row.score.mean == 0 for row in frontier.rows):
        print("Every phi scores 0: the network finds nothing here. Train it longer, or on images of this kind.")


def _figures(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.4f}"


def _columns(name: str, score: Interval) -> dict[str, Any]:
    return dict(zip((name + end for end in _ENDS), vars(score).values(), strict=True))


def _csv(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *lines])
    return buffer.getvalue()
