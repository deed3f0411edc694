"""A frontier as a table on the screen."""

from __future__ import annotations

from typing import Optional

from monai_hyperscale.console.tables import print_table
from monai_hyperscale.search.results import Frontier, phi_name
from monai_hyperscale.tasks import task_named

__all__ = ["print_frontier"]

_UNITS = {"flops": ("GFLOPs", 1e9), "latency": ("ms", 1e-3), "memory": ("MB working", 1e6)}


def print_frontier(frontier: Frontier) -> None:
    """Print what every φ costs and scores, and which are on the Pareto front of which cost.

    Args:
        frontier: as a sweep gives it.
    """
    costs = [cost for cost in _UNITS if cost in frontier.pareto]
    header = ["phi", *(_UNITS[cost][0] for cost in costs), frontier.metric["name"], "95 % interval"]
    extra = task_named(frontier.task).columns
    header += [column.name + " %" * column.share for column in extra]
    header.append("Pareto for (* knee)")
    lines = []
    for index, row in enumerate(frontier.rows):
        line = [phi_name(row.phi)]
        for cost in costs:
            value = row.cost(cost)
            line.append("" if value is None else f"{value / _UNITS[cost][1]:.4g}")
        score = row.score
        line.append(_figures(score.mean))
        line.append(f"{_figures(score.low)} - {_figures(score.high)}")
        for column in extra:
            found = row.extra.get(column.name)
            value = None if found is None else found.mean
            line.append(f"{100 * value:.2g}" if column.share and value is not None else _figures(value))
        best = [cost + "*" * (frontier.knee.get(cost) == index) for cost in costs if index in frontier.pareto[cost]]
        lines.append([*line, ", ".join(best)])
    print_table(lines, header, left=[len(header) - 1])


def _figures(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.4f}"
