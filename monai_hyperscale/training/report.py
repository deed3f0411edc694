"""What a training and an evaluation end with: the sweep that ``pareto`` makes, at a few φ, on the test cases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import ignite.distributed as idist
import torch

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.context import Context
from monai_hyperscale.errors import PhiError
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.frontier import UNFINISHED, SweepOptions, sweep, together
from monai_hyperscale.search.progress_files import ProgressFiles
from monai_hyperscale.search.results import Frontier, phi_name
from monai_hyperscale.search.tables import print_frontier
from monai_hyperscale.search.workload import Workload, open_workload
from monai_hyperscale.tasks import task_named

_LOGGER = logging.getLogger(__name__)
# Times taken of every φ: enough to tell them apart.
_ROUNDS = 3

Factors = tuple[float, ...]


def report_test_cases(
    models: Union[str, Path],
    dataset_dir: Union[str, Path],
    phis: Sequence[Union[Context, Phi]],
    folder: Union[str, Path],
    device: Union[str, torch.device] = "cpu",
    **options: Any,
) -> list[Frontier]:
    """Measure a trained network at several φ on the cases that nothing depended on; print the table and write it.

    In the folder are then ``frontier.json`` with its tables, curves as ``score_phi.png`` and so on, and
    ``report.html``, all as of ``monai-hyperscale pareto``: an earlier report is replaced. Of a network reported at
    several λ each has a folder of its own, ``regularization_0.1`` and so on. Returned are the results for each, in the
    first process only.

    Args:
        models: folder of ``model.json`` and ``model.pt``, or of the bundle.
        dataset_dir: of the cases.
        phis: each a number, one per level, or a whole context; those not trained for are left out with a warning.
        folder: where results go.
        device: where networks run.
        options: further arguments of :func:`open_workload`.

    Raises:
        PhiError: if the network was trained for none of the φ.
        DatasetError: if the data set cannot be used.
    """
    together()  # the first process may still be writing the weights
    settings = read_settings(model_folder(models) / "model.json")
    groups: dict[Context, list[Factors]] = {}  # by the other numbers, of which networks that know φ alone have none
    for phi in phis:
        context = settings.context(**Context.of(phi))
        others = Context(**{name: value for name, value in context.items() if name != "phi"})
        groups.setdefault(others, []).append(context.several("phi"))
    score = task_named(settings.task).trained_score(settings)
    shared = {"part": "test", "device": torch.device(device), "metric": score, **options}
    found = []
    for others, factors in groups.items():
        named = "_".join(f"{name}_{others.text(name)}" for name in others)
        place = Path(folder) / named if len(groups) > 1 else Path(folder)
        trained = _trained(settings, factors)
        frontier = _report(open_workload(models, dataset_dir, **{**others, **shared}), trained, place, str(others))
        found += [] if frontier is None else [frontier]
    return found


def _report(workload: Workload, phis: Sequence[Factors], folder: Path, others: str) -> Optional[Frontier]:
    # Here, because they draw.
    from monai_hyperscale.report import write_figures, write_report
    from monai_hyperscale.report.examples import example_of

    files = ProgressFiles(folder / UNFINISHED)
    if idist.get_rank() == 0:
        files.check()
        files.remove()  # of a report that was interrupted; the weights may be others now
    together()
    notes = {"phi": ";".join(map(phi_name, phis))}
    frontier = sweep(workload, phis, folder, SweepOptions(_ROUNDS, memory=False, notes=notes))
    if frontier is None:
        return None
    frontier.write(folder / "frontier.json")
    files.remove()
    told = f", {others}" if others else ""
    print(f"\n{workload.title}, {workload.part} cases: {frontier.metric['name']} per phi{told}\n", flush=True)
    print_frontier(frontier)
    write_figures(frontier, folder)
    write_report(frontier, folder / "report.html", [example_of(workload, frontier)])
    _LOGGER.info(f"Wrote {folder / 'report.html'}, frontier.json, its tables and its curves.")
    return frontier


def _trained(settings: NetworkSettings, phis: Sequence[Factors]) -> list[Factors]:
    """Return the φ that the network was trained for, and tell which are left out."""
    known = [phi for phi in dict.fromkeys(phis) if settings.context["phi"].trained(phi)]
    others = [phi_name(phi) for phi in phis if phi not in known]
    low, high = settings.phi_range
    if not known:
        raise PhiError(f"the network was trained for phi from {low:g} to {high:g}, got {', '.join(others)}.")
    if others:
        _LOGGER.warning(
            "the network was trained for phi from %g to %g: the report leaves %s out.", low, high, ", ".join(others)
        )
    return known
