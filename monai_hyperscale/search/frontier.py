"""The sweep: what every φ costs and scores on a data set, resumable and split over processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Optional

import torch.distributed as dist

from monai_hyperscale.io.files import digest
from monai_hyperscale.search.cost import InferenceCost, measure_costs
from monai_hyperscale.search.progress_files import ProgressFiles
from monai_hyperscale.search.results import COSTS, Frontier, FrontierRow, Interval
from monai_hyperscale.search.statistics import case_scores, hypervolume, interval, knee, pareto_points
from monai_hyperscale.search.timing import describe_machine
from monai_hyperscale.search.workload import CaseResult, Workload, as_phi
from monai_hyperscale.tasks import task_named

#: Folder of what is measured until all is, in that of the results.
UNFINISHED = "unfinished"
# Seconds after which what a φ has scored so far is written although it is not done.
_SAVE_AFTER = 20.0

Phi = tuple[float, ...]
Progress = Callable[[int], object]


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep measures.

    Args:
        rounds: times taken of every φ; 0 for none, nor of the stages from file to file.
        memory: whether peak memory is measured.
        sizes: of the image that cost is measured on; ``None`` for the first case.
        bootstrap: resamplings of the cases for intervals.
        seed: of their draw.
        notes: more to keep in the results' ``options``, ready for JSON.
    """

    rounds: int = 9
    memory: bool = True
    sizes: Optional[tuple[int, ...]] = None
    bootstrap: int = 2000
    seed: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)


def sweep(
    workload: Workload,
    phis: Sequence[Phi],
    folder: Path,
    options: Optional[SweepOptions] = None,
    progress: Optional[Progress] = None,
) -> Optional[Frontier]:
    """Measure every φ on every case, and return the frontier; ``None`` in all processes but the first.

    What is measured is on disk at once, in the folder ``unfinished`` of ``folder``, and taken from there when the sweep
    is repeated after an interruption; the caller removes it once the results are written. Processes of
    ``torch.distributed`` share the cases, or the φ if these are more; the first measures costs, alone, and puts all
    together. ``progress`` is called with the number of steps done: one per φ and case, ``2 + rounds`` per φ for costs.

    Raises:
        PhiError: if the network does not take a φ, or was not trained for it.
        FrontierError: if the folder holds an unfinished sweep of something else, or files in the place of one.
        DatasetError: if a case cannot be used.
    """
    options = options or SweepOptions()
    done = progress or (lambda steps: None)
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    workload.check_phi(phis)
    files = ProgressFiles(folder / UNFINISHED)
    costs: list[InferenceCost] = []
    if rank == 0:
        files.begin(sweep_plan(workload, phis))
        costs = _costs(workload, phis, files, options, done)
    together()
    # By cases, so that a process prepares only its own.
    names = workload.names[rank::processes] if processes <= len(workload.names) else workload.names
    for phi in phis if processes <= len(workload.names) else phis[rank::processes]:
        _score(workload, phi, names, files, done, rank)
    together()
    if rank > 0:
        return None
    results = [_score(workload, phi, workload.names, files, lambda steps: None) for phi in phis]
    rows = [make_row(workload, *measured, options) for measured in zip(phis, costs, results, strict=True)]
    cases = [result.volumes for result in results[0].values()]
    known = {value: [each[value] for each in cases if each[value]] for value in cases[0]}  # of the cases that have it
    volumes = {value: sum(found) / len(found) for value, found in known.items() if found}
    return make_frontier(workload, rows, options, sweep_plan(workload, phis), volumes)


def sweep_plan(workload: Workload, phis: Sequence[Phi]) -> dict[str, Any]:
    """Return what the scores of a sweep depend on, in words for people."""
    return {
        "bundle": workload.bundle_facts(),
        "data set": [workload.title, workload.part, workload.fingerprint],
        "choice of cases": workload.names,
        "metric": workload.metric_facts,
        "device": workload.device.type,
        "grid of phi": [list(phi) for phi in phis],
        "set of options": workload.choices,
    }


def option_facts(workload: Workload, options: SweepOptions) -> dict[str, Any]:
    """Return how a sweep measures, as its results tell it."""
    return {
        "seed": options.seed,
        "bootstrap_samples": options.bootstrap,
        "repeats": options.rounds,
        "memory": options.memory,
        "size": list(workload.image(options.sizes).shape[2:]),
    }


def make_row(
    workload: Workload, phi: Phi, cost: InferenceCost, results: Mapping[str, CaseResult], options: SweepOptions
) -> FrontierRow:
    """Return the row of a φ, of its cost and its results on every case."""
    of_cases = partial(interval, samples=options.bootstrap, seed=options.seed)
    scores = {name: dict(result.scores) for name, result in results.items()}
    labels = {value: of_cases([scores[name][value] for name in scores]) for value in workload.labels}
    extra = {}
    for column in task_named(workload.task).columns:
        values = [result.extra.get(column.name) for result in results.values()]
        extra[column.name] = Interval(of_cases(values).mean, None, None) if column.share else of_cases(values)
    costs = (cost.flops, cost.parameters, cost.latency, cost.memory)
    return FrontierRow(phi, of_cases(case_scores(scores)), *costs, labels, scores, extra, cost.stages)


def make_frontier(
    workload: Workload,
    rows: Sequence[FrontierRow],
    options: SweepOptions,
    plan: Mapping[str, Any],
    volumes: Optional[Mapping[str, float]] = None,
) -> Frontier:
    """Return rows with what is best among them, and what is needed to repeat them."""
    higher = bool(workload.metric_facts["higher_is_better"])
    scores = [row.score.mean for row in rows]
    measured = {cost: [row.cost(cost) for row in rows] for cost in COSTS}
    measured = {cost: values for cost, values in measured.items() if any(value is not None for value in values)}
    knees = {cost: knee(values, scores, higher) for cost, values in measured.items()}
    timed = "random numbers" if options.sizes is not None else workload.names[0]
    kept = {**options.notes, **workload.choices, **option_facts(workload, options), "cost_measured_on": timed}
    return Frontier(
        task=workload.task,
        bundle=workload.bundle_facts(),
        data=workload.data_facts() | ({"mean_volumes": dict(volumes)} if volumes else {}),
        labels=workload.labels,
        metric=workload.metric_facts,
        machine=describe_machine(workload.device),
        options=kept | {"fingerprint": digest(plan)},
        rows=tuple(rows),
        pareto={cost: tuple(pareto_points(values, scores, higher)) for cost, values in measured.items()},
        hypervolume={cost: hypervolume(values, scores, higher) for cost, values in measured.items()},
        knee={cost: place for cost, place in knees.items() if place is not None},
    )


def _costs(
    workload: Workload, phis: Sequence[Phi], files: ProgressFiles, options: SweepOptions, done: Progress
) -> list[InferenceCost]:
    measured_by = [options.rounds, options.memory, options.sizes]
    key = {"machine": describe_machine(workload.device), "options": measured_by, "phi": phis}
    runs, image = [partial(workload.run, as_phi(phi)) for phi in phis], workload.image(options.sizes)
    known, save = files.read_costs(key, len(phis)), partial(files.write_costs, key)
    costs = measure_costs(runs, image, options.rounds, options.memory, partial(done, 1), known, save)
    for place, phi in enumerate(phis if options.rounds else ()):
        if not costs[place].stages:
            costs[place] = replace(costs[place], stages=dict(workload.stages(as_phi(phi))))
            save(costs)
    return costs


def _score(
    workload: Workload, phi: Phi, names: Sequence[str], files: ProgressFiles, done: Progress, rank: int = 0
) -> dict[str, CaseResult]:
    """Return what a φ scores on cases, in their order; measured as far as it is not on disk."""
    found = files.read_cases(phi, names, list(workload.labels))
    done(len(found))
    if len(found) < len(names):
        run = workload.run(as_phi(phi))
        saved = time.monotonic()
        for name in names:
            if name in found:
                continue
            found[name] = workload.measure(workload.names.index(name), run)
            done(1)
            if time.monotonic() - saved > _SAVE_AFTER:
                files.write_cases(phi, found, rank)
                saved = time.monotonic()
        files.write_cases(phi, found, rank)
    return {name: found[name] for name in names}


def together() -> None:
    """Wait for the other processes, where ``torch.distributed`` has any."""
    if dist.is_initialized():
        dist.barrier()
