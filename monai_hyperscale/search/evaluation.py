"""Rows for single φ, measured when they are asked for, and which to ask for: grids from text, and the search."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from monai_hyperscale.errors import FrontierError, PhiError
from monai_hyperscale.search.budget import Limit, Objective, choose, value_of
from monai_hyperscale.search.cost import count_flops, measure_costs
from monai_hyperscale.search.frontier import Phi, SweepOptions, make_row
from monai_hyperscale.search.results import FrontierRow
from monai_hyperscale.search.workload import Workload, as_phi

if TYPE_CHECKING:
    import optuna

#: Ways to the φ that are measured: all, at random, and by a tree-structured Parzen estimator (Bergstra et al., 2011).
SAMPLERS = ("grid", "random", "tpe")

# Places on the grid that are measured first, from end to end.
_FIRST = (1.0, 0.0, 0.5, 0.75, 0.25)
# One of so many measurements, the last ones, is of a neighbour of the best so far, where there are several factors.
_REFINING = 3
# Asked so often in a row for a φ of which there is nothing to learn, a neighbour of the best comes next.
_PATIENCE = 10


class RowMeasurer:
    """Measures the row of a φ, once, as the options say."""

    def __init__(self, workload: Workload, options: Optional[SweepOptions] = None) -> None:
        self.workload = workload
        self.options = options or SweepOptions()
        self.rows: dict[Phi, FrontierRow] = {}
        self._image = workload.image(self.options.sizes)
        self._flops: dict[Phi, float] = {}

    def __call__(self, phi: Phi) -> FrontierRow:
        """Return the row of φ."""
        if phi not in self.rows:
            run = self.workload.run(as_phi(phi))
            cost = measure_costs([lambda: run], self._image, self.options.rounds, self.options.memory)[0]
            names = self.workload.names
            results = {name: self.workload.measure(index, run) for index, name in enumerate(names)}
            self.rows[phi] = make_row(self.workload, phi, cost, results, self.options)
        return self.rows[phi]

    def flops(self, phi: Phi) -> float:
        """Return the operations of φ alone, which costs one inference."""
        if phi not in self._flops:
            self._flops[phi] = count_flops(self.workload.run(as_phi(phi)), self._image)
        return self._flops[phi]


def search_phi(
    measure: Callable[[Phi], FrontierRow],
    grid: Sequence[Phi],
    limits: Sequence[Limit],
    objective: Objective,
    sampler: str = "tpe",
    evaluations: int = 25,
    seed: int = 0,
    flops: Optional[Callable[[Phi], float]] = None,
    progress: Optional[Callable[[], object]] = None,
) -> list[FrontierRow]:
    """Measure φ of a grid until the budget's best is likely among them; :func:`choose` finds it among the rows.

    Args:
        measure: returns the row of a φ.
        grid: every φ that comes into question, all of as many factors.
        limits: to be met.
        objective: what is best.
        sampler: ``grid`` measures every φ, ``random`` and ``tpe`` as many as ``evaluations``. TPE, by Optuna, goes by
            what was measured after a first few φ; with several factors the last third are neighbours of the best.
        evaluations: of ``random`` and ``tpe``, as is the ``seed``.
        seed: of both.
        flops: operations of a φ, cheap beside measuring it: ``tpe`` then measures none that has too many of them.
        progress: called after every measurement.

    Raises:
        FrontierError: if there is no such sampler, or no φ.
    """
    if sampler not in SAMPLERS or not grid or evaluations < 1:
        raise FrontierError(
            f"a sampler of {', '.join(SAMPLERS)}, at least one phi and one evaluation are needed, got {sampler!r}, "
            f"{len(grid)} and {evaluations}."
        )
    done = progress or (lambda: None)
    if sampler == "tpe" and evaluations < len(grid):
        return _TreeSearch(measure, grid, limits, objective, seed, flops).rows(evaluations, done)
    chosen = list(grid)
    if sampler == "random":
        chosen = random.Random(seed).sample(chosen, min(evaluations, len(chosen)))
    rows = []
    for phi in chosen:
        rows.append(measure(phi))
        done()
    return rows


@dataclass
class _TreeSearch:
    """A study of Optuna's over the places of a grid, which need not be evenly spread or complete."""

    measure: Callable[[Phi], FrontierRow]
    grid: Sequence[Phi]
    limits: Sequence[Limit]
    objective: Objective
    seed: int
    flops: Optional[Callable[[Phi], float]]

    def __post_init__(self) -> None:
        self.axes = [sorted(set(values)) for values in zip(*self.grid, strict=True)]
        # In an order of chance, so that it is no direction that comes first of what is equally near.
        self.rest = random.Random(self.seed).sample(list(self.grid), len(self.grid))
        self.found: dict[Phi, FrontierRow] = {}

    def rows(self, evaluations: int, done: Callable[[], object]) -> list[FrontierRow]:
        import optuna

        first = _FIRST[: max(1, evaluations // len(_FIRST))]
        startup = max(len(first), evaluations // 4)
        several = sum(len(axis) > 1 for axis in self.axes) > 1
        with _quiet():
            tpe = optuna.samplers.TPESampler(n_startup_trials=startup, multivariate=True, seed=self.seed)
            study = optuna.create_study(direction="minimize" if self.objective.minimize else "maximize", sampler=tpe)
            for share in first:
                self._enqueue(study, tuple(axis[round(share * (len(axis) - 1))] for axis in self.axes))
            refused = 0
            while len(self.found) < evaluations:
                if several and len(self.found) >= evaluations - evaluations // _REFINING:
                    # Along several axes the estimator seldom looks right beside the best.
                    refused = _PATIENCE + 1
                if refused > _PATIENCE:
                    refused, other = 0, self._other()
                    if other is None:
                        break
                    self._enqueue(study, other)
                trial = study.ask()
                places = [trial.suggest_int(f"factor_{n}", 0, len(axis) - 1) for n, axis in enumerate(self.axes)]
                phi = tuple(axis[place] for axis, place in zip(self.axes, places, strict=True))
                if phi in self.found or phi not in self.grid or (len(self.found) >= len(first) and self._hopeless(phi)):
                    # There is nothing to learn from it: ask again.
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    refused += 1
                    continue
                refused = 0
                self.found[phi] = self.measure(phi)
                done()
                self._tell(study, trial, self.found[phi])
        return list(self.found.values())

    def _enqueue(self, study: optuna.Study, phi: Phi) -> None:
        pairs = enumerate(zip(self.axes, phi, strict=True))
        study.enqueue_trial({f"factor_{number}": axis.index(factor) for number, (axis, factor) in pairs})

    def _other(self) -> Optional[Phi]:
        """Return the φ nearest to the best so far that may be better."""
        scored = [row for row in self.found.values() if value_of(row, self.objective.quantity) is not None]
        best = choose(scored, self.limits, self.objective).row.phi if scored else None

        def distance(phi: Phi) -> int:
            pairs = zip(self.axes, phi, best or phi, strict=True)
            return sum(abs(axis.index(a) - axis.index(b)) for axis, a, b in pairs)

        left = sorted((phi for phi in self.rest if phi not in self.found), key=distance)
        return next((phi for phi in left if not self._hopeless(phi)), None)

    def _hopeless(self, phi: Phi) -> bool:
        """Return whether the operations of φ alone rule it out."""
        bounds = [limit.bound for limit in self.limits if limit.quantity == "flops"]
        if self.objective.quantity == "flops":
            met = [row for row in self.found.values() if all(limit.miss(row) == 0 for limit in self.limits)]
            bounds += [row.flops for row in met if row.flops is not None]
        return bool(bounds) and self.flops is not None and self.flops(phi) > min(bounds)

    def _tell(self, study: optuna.Study, trial: optuna.Trial, row: FrontierRow) -> None:
        import optuna

        value = value_of(row, self.objective.quantity)
        misses = [limit.miss(row) for limit in self.limits]
        if value is None or any(miss == float("inf") for miss in misses):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        for number, miss in enumerate(misses):
            trial.set_constraint(str(number), miss)
        study.tell(trial, value)


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Of settings that Optuna calls experimental.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


_MOST = 100_000


def phi_grid(text: str) -> list[tuple[float, ...]]:
    """Read a grid of φ; a PhiError if it is none of these, or a factor is outside [0, 1].

    - ``0.1,0.3,0.5``: these;
    - ``0:0.5:0.01``: from the first to the second in steps of the third;
    - ``0.5,0.3,0.1;0.5,0.2,0.1``: factors per level, φ apart by semicolons; a single one ends with a semicolon;
    - ``0:0.5:0.05x0:0.5:0.05x0.1,0.2``: factors per level, every combination.

    Example:
        >>> phi_grid("0.1:0.3:0.1"), phi_grid("0.5,0.3;"), phi_grid("0.1,0.2x0.5")
        ([(0.1,), (0.2,), (0.3,)], [(0.5, 0.3)], [(0.1, 0.5), (0.2, 0.5)])
    """
    if ";" in text:
        parts = [part for part in text.split(";") if part.strip()]
        found = [tuple(_factor(number, text) for number in part.split(",")) for part in parts]
    else:
        axes = [_axis(part, text) for part in text.split("x")]
        count = math.prod(map(len, axes))
        if count > _MOST:
            raise PhiError(f"the grid {text!r} has {count} phi; at most {_MOST} are taken.")
        found = list(itertools.product(*axes))
    unique = list(dict.fromkeys(found))
    if not unique or len({len(phi) for phi in unique}) > 1:
        raise PhiError(f"every phi of a grid has as many factors, at least one; got {text!r}.")
    return unique


def default_grid(phi_range: Sequence[float]) -> str:
    """Return the grid of the papers: steps of 0.01 over the range that a network was trained for."""
    low, high = phi_range
    return f"{low:g}" if low == high else f"{low:g}:{high:g}:0.01"


def _axis(part: str, text: str) -> list[float]:
    if ":" not in part:
        return [_factor(number, text) for number in part.split(",")]
    numbers = part.split(":")
    if len(numbers) != 3:
        raise PhiError(f"a range of phi is low:high:step, such as 0:0.5:0.01, got {part!r}.")
    low, high, step = (_factor(number, text) for number in numbers)
    if step <= 0 or high < low or (high - low) / step > _MOST:
        raise PhiError(f"a range of phi goes from low to high in steps above 0, at most {_MOST}; got {part!r}.")
    count = int((high - low) / step + 1e-6)
    # Rounded, so that 0.3 is 0.3 and not 0.30000000000000004.
    return [round(low + index * step, 9) for index in range(count + 1)]


def _factor(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise PhiError(f"phi is a number between 0 and 1, or a grid such as 0:0.5:0.01; got {number!r} in {text!r}.")
    return value
