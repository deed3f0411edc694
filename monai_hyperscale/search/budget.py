"""Choice by budget: the cheapest φ that scores enough, or the best one that costs no more; and its confirmation.

Amortized Learning of Flexible Feature Scaling (2023), Eq. 3, among rows that were measured, and what the φ that was
chosen on some cases scores on others.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.results import COSTS, Frontier, FrontierRow, phi_name
from monai_hyperscale.tasks import task_named

_UNITS: dict[str, dict[str, float]] = {
    "latency": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "memory": {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
    | {"kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40},
    "flops": {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12},
    "score": {"": 1, "%": 0.01},
}
_NAMED = {"latency": "us, ms, s", "memory": "kB, MB, GB, KiB, MiB, GiB", "flops": "K, M, G, T", "score": "%"}
_LIMIT = re.compile(
    r"\s*([^<>=≤≥]+?)\s*(<=|>=|≤|≥|<|>|=+)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([^\s\d]*)\s*", re.IGNORECASE
)
_EXAMPLES = "latency<=40ms, memory<=2GB, flops<=5G or dice>=0.88"


@dataclass(frozen=True)
class Limit:
    """A bound on ``flops``, ``latency`` (s), ``memory`` (bytes) or the ``score``; ``upper`` where more is too much."""

    quantity: str
    bound: float
    upper: bool
    text: str

    def miss(self, row: FrontierRow) -> float:
        """Return by how much of itself the limit is missed, 0 where it is met; infinity for what was not measured."""
        value = value_of(row, self.quantity)
        if value is None:
            return math.inf
        return max(0.0, value - self.bound if self.upper else self.bound - value) / (abs(self.bound) or 1.0)


@dataclass(frozen=True)
class Objective:
    """What is best among the φ that meet all limits: ``flops``, ``latency``, ``memory`` or ``score``."""

    quantity: str
    minimize: bool


@dataclass(frozen=True)
class Choice:
    """What a budget allows: a row, or where none of the ``considered`` ones has ``met`` all limits the nearest."""

    row: FrontierRow
    met: int
    considered: int
    missed: tuple[Limit, ...]


def read_limits(texts: Sequence[str], metric: Mapping[str, Any], key: Optional[str] = None) -> list[Limit]:
    """Read limits such as ``latency<=40ms``, several in a text apart by commas; a FrontierError if one cannot be read.

    Args:
        texts: in µs, ms, s; B, kB, MB, GB, TB, KiB, MiB, GiB, TiB; of operations none, K, M, G, T; of scores none or %.
        metric: ``name`` and ``higher_is_better`` of the score.
        key: another name of the score.

    Example:
        >>> dice = {"name": "Dice", "higher_is_better": True}
        >>> [(limit.quantity, limit.bound) for limit in read_limits(["latency <= 40 ms, flops<=5G", "dice>=88%"], dice)]
        [('latency', 0.04), ('flops', 5000000000.0), ('score', 0.88)]
    """
    limits = [_limit(part, metric, key) for text in texts for part in text.split(",") if part.strip()]
    if len(texts) and not limits:
        raise FrontierError(f"an empty limit says nothing; write one such as {_EXAMPLES}.")
    return limits


def read_objective(text: str, minimize: bool, metric: Mapping[str, Any], key: Optional[str] = None) -> Objective:
    """Read the quantity to minimise or maximise; a FrontierError if it is not known, or the other way makes sense."""
    quantity = _quantity(text, metric, key)
    wanted = quantity != "score" or not metric["higher_is_better"]
    if wanted != minimize:
        verb = ("maximised", "minimised")[wanted]
        raise FrontierError(f"{_spelt(text)} is to be {verb}; write --{verb[:-1].replace('ise', 'ize')} {text}.")
    return Objective(quantity, minimize)


def default_objective(limits: Sequence[Limit], measured: Sequence[str], higher_is_better: bool = True) -> Objective:
    """Return what is best where the user does not say: the least of a cost where the score is bounded, else the score.

    The cost is the first one that the limits bound, or else the first of those ``measured``.

    Example:
        >>> default_objective([Limit("score", 0.8, False, "dice>=0.8")], ["latency", "flops"])
        Objective(quantity='latency', minimize=True)
    """
    costs = [*(limit.quantity for limit in limits if limit.quantity != "score"), *measured]
    if costs and any(limit.quantity == "score" for limit in limits):
        return Objective(costs[0], True)
    return Objective("score", not higher_is_better)


def measured_costs(rows: Sequence[FrontierRow]) -> list[str]:
    """Return the costs that were measured: time first, then operations and memory."""
    return [cost for cost in ("latency", "flops", "memory") if any(row.cost(cost) is not None for row in rows)]


def choose(rows: Sequence[FrontierRow], limits: Sequence[Limit], objective: Objective) -> Choice:
    """Return the best row that meets all limits; of rows alike in the objective the better-scoring or cheaper one.

    Where none does it is the nearest: the one with the least sum of what it misses of each limit, relative to it.
    ``FrontierError`` is raised if there is no row, or what is bounded or wanted was measured of none.

    Example:
        >>> from monai_hyperscale.search import Interval
        >>> rows = [FrontierRow((phi,), Interval(score, score, score), flops) for phi, score, flops in
        ...         [(0.1, 0.8, 1e9), (0.3, 0.9, 2e9), (0.5, 0.91, 4e9)]]
        >>> limits = read_limits(["dice>=0.85"], {"name": "Dice", "higher_is_better": True})
        >>> choose(rows, limits, Objective("flops", minimize=True)).row.phi
        (0.3,)
    """
    for quantity in [*(limit.quantity for limit in limits), objective.quantity]:
        if all(value_of(row, quantity) is None for row in rows):
            raise FrontierError(f"{quantity} was not measured of any phi; measure it, or leave it out.")
    met = [row for row in rows if all(limit.miss(row) == 0 for limit in limits)]
    met = [row for row in met if value_of(row, objective.quantity) is not None]
    if met:
        return Choice(min(met, key=lambda row: _rank(row, objective, limits)), len(met), len(rows), ())
    nearest = min(rows, key=lambda row: (sum(limit.miss(row) for limit in limits), _rank(row, objective, limits)))
    return Choice(nearest, 0, len(rows), tuple(limit for limit in limits if limit.miss(nearest) > 0))


def value_of(row: FrontierRow, quantity: str) -> Optional[float]:
    """Return a cost or the score of a row."""
    return row.score.mean if quantity == "score" else row.cost(quantity)


def metric_key(frontier: Frontier) -> Optional[str]:
    """Return the score's name on the command line, where the frontier tells it."""
    key = frontier.options.get("metric")
    return key if isinstance(key, str) else None


def _rank(row: FrontierRow, objective: Objective, limits: Sequence[Limit]) -> tuple[float, ...]:
    value = value_of(row, objective.quantity)
    first = math.inf if value is None else value if objective.minimize else -value
    if objective.quantity == "score":
        costs = [row.cost(cost) for cost in COSTS]
        return (first, *(math.inf if cost is None else cost for cost in costs))
    # Less of the score is better only where it is bounded from above.
    upper = any(limit.quantity == "score" and limit.upper for limit in limits)
    score = row.score.mean
    return (first, math.inf if score is None else score if upper else -score)


def _limit(part: str, metric: Mapping[str, Any], key: Optional[str]) -> Limit:
    found = _LIMIT.fullmatch(part)
    if found is None:
        raise FrontierError(f"the limit {part.strip()!r} cannot be read; limits look like {_EXAMPLES}.")
    name, sign, digits, suffix = found.groups()
    quantity = _quantity(name, metric, key)
    upper = quantity != "score" or not metric["higher_is_better"]
    wanted = "<=" if upper else ">="
    if sign.replace("≤", "<=").replace("≥", ">=") != wanted:
        raise FrontierError(f"{_spelt(name)} takes {wanted}, not {sign}: write {_spelt(name)}{wanted}{digits}{suffix}.")
    unit = suffix.lower()
    if quantity == "flops":
        unit = re.sub("flops?$", "", unit)
    if quantity == "score" and upper and unit in ("mm", "px", "voxels"):
        unit = ""
    if unit not in _UNITS[quantity]:
        problem = f"has the unknown unit {suffix!r}" if suffix else "needs a unit"
        raise FrontierError(f"the limit {part.strip()!r} {problem}; {_spelt(name)} is given in {_NAMED[quantity]}.")
    try:
        bound = float(digits) * _UNITS[quantity][unit]
    except ValueError:
        bound = math.inf
    if not math.isfinite(bound):
        raise FrontierError(f"{digits!r} in the limit {part.strip()!r} is not a number.")
    if not upper and bound > 1:
        raise FrontierError(
            f"{_spelt(name)} is 1 at most, got {digits}{suffix}; write a share or a percentage (0.9, 90%)."
        )
    return Limit(quantity, bound, upper, part.strip())


def _quantity(name: str, metric: Mapping[str, Any], key: Optional[str]) -> str:
    wanted, scores = _spelt(name), {"score", _spelt(str(metric["name"])), *([key] if key else [])}
    if wanted in scores:
        return "score"
    if wanted in COSTS:
        return wanted
    known = [*COSTS, *sorted(scores - {"score"})]
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known[:-1])} and {known[-1]}."
    raise FrontierError(f"{name.strip()!r} is not known; {hint}")


def _spelt(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


@dataclass(frozen=True)
class Confirmation:
    """Frontiers of one network: to choose on, and of ``other`` cases to confirm on, which messages call by ``name``."""

    choice: Frontier
    other: Frontier
    shared: tuple[str, ...]
    name: str

    @property
    def warning(self) -> Optional[str]:
        """The warning where cases are in both, ``None`` where none is."""
        if not self.shared:
            return None
        return f"{len(self.shared)} of the cases to confirm on are among those that the choice was made on."

    def row(self, phi: Sequence[float]) -> FrontierRow:
        """Return what a φ scores on the other cases; a FrontierError if it was not measured there."""
        found = self.other.row(phi)
        if found is None:
            raise FrontierError(f"{self.name} has no phi = {phi_name(phi)}; measure it there too.")
        return found

    def check_common_phi(self) -> None:
        """Raise a FrontierError if no φ was measured on both."""
        if all(self.other.row(row.phi) is None for row in self.choice.rows):
            raise FrontierError(f"{self.name} has none of the phi to choose among; measure some of them there too.")


def confirmation(choice: Frontier, other: Frontier, name: str = "the frontier to confirm on") -> Confirmation:
    """Return two frontiers; a FrontierError, which calls the other one by ``name``, if it cannot confirm the first."""
    if other.bundle["weights_sha256"] != choice.bundle["weights_sha256"]:
        raise FrontierError(f"{name} is of other weights than the choice; confirm on the same network.")
    if dict(other.metric) != dict(choice.metric):
        raise FrontierError(
            f"{name} has another score ({other.metric['name']}) than the choice ({choice.metric['name']})."
        )
    if dict(other.labels) != dict(choice.labels):
        raise FrontierError(f"{name} has other labels ({_names(other)}) than the choice ({_names(choice)}).")
    shared: tuple[str, ...] = ()
    if other.data["name"] == choice.data["name"]:
        known = set(choice.data["cases"])
        shared = tuple(case for case in other.data["cases"] if case in known)
    return Confirmation(choice, other, shared, name)


def unconfirmed(frontier: Frontier, way: Optional[str] = None) -> Optional[str]:
    """Return what to say of a choice by a frontier alone, and the ``way`` to confirm it; ``None`` of a single φ."""
    if len(frontier.rows) < 2:
        return None
    part = frontier.data["part"]
    ways = {
        "test": "choose on those of pareto --cases validation, with these as --confirm",
        "validation": "add --confirm with those of pareto --cases test",
    }
    default = "choose on those of pareto --cases validation, with those of --cases test as --confirm"
    cases = cases_in_words(frontier)
    return (
        f"chosen and scored on the same {cases}, which flatters the score; to confirm, {way or ways.get(part, default)}"
    )


def cases_in_words(frontier: Frontier) -> str:
    """Return how many cases of which part a frontier is of, such as ``3 validation pairs``."""
    part, count = frontier.data["part"], len(frontier.data["cases"])
    noun = task_named(frontier.task).case_noun + "s" * (count != 1)
    return f"{count} {noun}" if part == "all" else f"{count} {part} {noun}"


def _names(frontier: Frontier) -> str:
    """Return the first few labels, enough to tell what a data set is of."""
    names = [f"{value} {name}" for value, name in frontier.labels.items()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"
