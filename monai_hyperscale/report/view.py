"""What a report shows of a frontier: the order of its rows, units, and every number as the one text for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Optional

from monai_hyperscale.search.budget import Confirmation
from monai_hyperscale.search.results import Frontier, FrontierRow, phi_name
from monai_hyperscale.tasks import Column, task_named

# Key in the file, what it is, and its units: the small, the usual and the large one.
_COSTS: tuple[tuple[str, str, Mapping[str, float]], ...] = (
    ("flops", "Compute", {"MFLOPs": 1e6, "GFLOPs": 1e9, "TFLOPs": 1e12}),
    ("latency", "Time", {"µs": 1e-6, "ms": 1e-3, "s": 1.0}),
    ("memory", "Working memory", {"kB": 1e3, "MB": 1e6, "GB": 1e9}),
)
#: Loss of score that still counts as none to speak of, where the score is a share: one point of Dice.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Cost:
    """A cost that was measured: its key in the file, what it is, and the unit that it is shown in."""

    key: str
    title: str
    unit: str
    scale: float

    @property
    def word(self) -> str:
        """What one has less of."""
        return self.title.lower()

    def of(self, row: FrontierRow) -> Optional[float]:
        """Return the cost of a row in the unit, ``None`` where it was not measured."""
        value = row.cost(self.key)
        return None if value is None else value / self.scale

    def text(self, row: FrontierRow) -> str:
        """Return the cost of a row without its unit."""
        value = row.cost(self.key)
        return "–" if value is None else self.figures(value)

    def figures(self, value: float) -> str:
        """Return a value of the file in figures, in the unit."""
        return significant(value / self.scale)


class Point(NamedTuple):
    """A row on a curve: its position, its cost, and its score with the interval, which is empty where unknown."""

    position: int
    cost: float
    mean: float
    low: float
    high: float


def band(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """Return the band of the intervals as quadrilaterals of (cost, score), one between each two neighbours."""
    pieces = []
    for pair in pairwise(points):
        # All the same way round: where measured costs go to and fro they add up rather than cancel out.
        a, b = sorted(pair, key=lambda point: point.cost)
        pieces.append([(a.cost, a.high), (b.cost, b.high), (b.cost, b.low), (a.cost, a.low)])
    return pieces


class View:
    """A frontier as a report shows it, and one of other cases to confirm on; rows of one φ go from small to large."""

    def __init__(self, frontier: Frontier, confirm: Optional[Confirmation] = None) -> None:
        self.frontier, self.confirm = frontier, confirm
        self.single = all(len(row.phi) == 1 for row in frontier.rows)
        order = list(range(len(frontier.rows)))
        if self.single:
            order.sort(key=lambda n: frontier.rows[n].phi)
        self.rows = [frontier.rows[n] for n in order]
        self._position = {original: position for position, original in enumerate(order)}
        self.costs: list[Cost] = []
        for key, title, units in _COSTS:
            values = [value for row in self.rows if (value := row.cost(key)) is not None]
            if values:
                # One unit for all values, in which the largest has no long string of digits.
                (small, usual, large), most = units.items(), max(values)
                unit = large if most >= large[1] else usual if most >= usual[1] / 10 else small
                self.costs.append(Cost(key, title, *unit))
        self.labels = dict(sorted(frontier.labels.items(), key=lambda entry: int(entry[0])))
        self.task = task_named(frontier.task)
        self.metric = str(frontier.metric["name"])
        self.higher_is_better = frontier.higher_is_better

    def there(self, position: int) -> Optional[FrontierRow]:
        """Return what a row scores on the cases to confirm on; ``None`` where that was not measured."""
        return None if self.confirm is None else self.confirm.other.row(self.rows[position].phi)

    @cached_property
    def is_share(self) -> bool:
        """Whether the score goes from 0 to 1, as Dice does, so that differences are given in points of a hundred."""
        ends = [end for row in self.rows for end in (row.score.mean, row.score.low, row.score.high) if end is not None]
        return self.higher_is_better and all(0 <= end <= 1 for end in ends)

    def score_text(self, value: Optional[float]) -> str:
        """Return a score in figures; the same number of them for all where it is a share."""
        if value is None:
            return "–"
        return f"{value:.4f}" if self.is_share else significant(value, 4)

    def interval_text(self, row: FrontierRow) -> str:
        """Return the interval of a row's score in figures."""
        return f"{self.score_text(row.score.low)} – {self.score_text(row.score.high)}"

    def column(self, column: Column, row: FrontierRow) -> tuple[str, Optional[float]]:
        """Return what a row has in a column of the task's, in figures and as a number, of a share in per cent."""
        found = row.extra.get(column.name)
        value = None if found is None else found.mean
        if not column.share:
            return self.score_text(value), value
        return ("–", None) if value is None else (significant(100 * value, 2), 100 * value)

    def score_change(self, score: Optional[float], other: Optional[float]) -> str:
        """Return what a score is more than another, with its sign; nothing where one is missing."""
        if score is None or other is None:
            return ""
        value = score - other
        size = f"{100 * abs(value):.1f}" if self.is_share else significant(abs(value))
        sign = "±" if float(size) == 0 else "+" if value > 0 else "−"
        return f"{sign}{size}" + " points" * self.is_share

    def phi_text(self, phi: Sequence[float]) -> str:
        """Return φ in figures: ``0.3``, or ``0.5, 0.3`` for one per level."""
        return phi_name(phi).replace(",", ", ")

    def phi_name(self, phi: Sequence[float]) -> str:
        """Return φ with its name: ``φ = 0.3``, or ``φ = (0.5, 0.3)``."""
        text = self.phi_text(phi)
        return f"φ = {text}" if len(phi) == 1 else f"φ = ({text})"

    def pareto(self, cost: Optional[Cost]) -> list[int]:
        """Return the positions of the Pareto points for a cost, the cheapest first."""
        return [] if cost is None else [self._position[n] for n in self.frontier.pareto.get(cost.key) or ()]

    def knee(self, cost: Optional[Cost]) -> Optional[int]:
        """Return the position of the knee for a cost."""
        found = None if cost is None else self.frontier.knee.get(cost.key)
        return None if found is None else self._position[found]

    def points(self, cost: Optional[Cost]) -> list[Point]:
        """Return the points of the curve for a cost, or for φ itself; without rows that have no cost or no score."""
        found = []
        for position, row in enumerate(self.rows):
            at = row.phi[0] if cost is None else cost.of(row)
            mean, low, high = row.score.mean, row.score.low, row.score.high
            if at is not None and mean is not None:
                found.append(Point(position, at, mean, mean if low is None else low, mean if high is None else high))
        return found

    @cached_property
    def reference(self) -> int:
        """Position of the row that others are compared with: the largest φ, or of several factors the dearest."""
        scored = [n for n, row in enumerate(self.rows) if row.score.mean is not None] or [len(self.rows) - 1]
        if self.single or not self.costs:
            return scored[-1]
        return max(scored, key=lambda n: self.costs[0].of(self.rows[n]) or 0.0)

    @cached_property
    def main_cost(self) -> Optional[Cost]:
        """The cost that sentences are about: time where it was measured, else compute, else memory."""
        by_key = {cost.key: cost for cost in self.costs}
        return next((by_key[key] for key in ("latency", "flops", "memory") if key in by_key), None)

    @cached_property
    def chosen(self) -> int:
        """Position of the row that is shown first: the cheapest within one point of the reference, else the knee."""
        cost, score = self.main_cost, self.rows[self.reference].score.mean
        if cost is None or score is None:
            return self.reference
        if not self.is_share:
            knee = self.knee(cost)
            return self.reference if knee is None else knee
        near = [point for point in self.points(cost) if point.mean >= score - TOLERANCE]
        return min(near, key=lambda point: point.cost).position if near else self.reference


def capital(name: str) -> str:
    """Return a name with a capital letter in front, as it begins a line: HD95 stays HD95."""
    return name[:1].upper() + name[1:]


def significant(value: float, digits: int = 3) -> str:
    """Return a number in figures with so many significant digits, without an exponent: 0.0457 for 0.04567."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, min(12, decimals))}f}"
