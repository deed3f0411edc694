"""``monai-hyperscale pareto``: what every φ costs and scores on one's own data and machine."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

import rich_click as click

from monai_hyperscale.cli.workloads import case_options, command_line, workload_of, workload_options
from monai_hyperscale.console.command import DONE, Arguments, command
from monai_hyperscale.console.messages import progress, say
from monai_hyperscale.console.options import BUNDLE, DATASET, PATH, confirm_option, sizes
from monai_hyperscale.console.outputs import check_folder
from monai_hyperscale.errors import ArgumentError

if TYPE_CHECKING:
    from monai_hyperscale.search import Frontier, SweepOptions, Workload

# What a repeated command must have in common with the first, beside what is measured.
_OPTIONS = {"seed": "--seed", "bootstrap_samples": "--bootstrap", "repeats": "--repeats"}
_OPTIONS |= {"memory": "--no-memory", "size": "--size"}
_TABLES = ("frontier.csv", "frontier_cases.csv")


@command("pareto", "measure what every phi costs and scores on a data set")
@click.argument("bundle", type=BUNDLE, help="trained bundle")
@click.option("--dataset", type=DATASET, required=True, metavar="DIR", help="data set with labels")
@click.option("-o", "--output", type=PATH, default="frontier", metavar="OUT", help="folder")
@click.option(
    "--phi",
    metavar="GRID",
    help="0.1,0.3,0.5, or 0:0.5:0.01 (low:high:step; the default, over the trained range); one factor per level: "
    "0.5,0.3;0.5,0.2 (with semicolons between phi), or 0.5x0:0.5:0.1 (every combination)",
)
@workload_options()
@case_options
@click.option(
    "--repeats", type=click.IntRange(min=0), default=9, metavar="N", help="times taken of each phi, 0 for none"
)
@click.option("--no-memory", is_flag=True, help="leave working memory out")
@click.option(
    "--size", type=sizes, metavar="X,Y,Z", help="measure costs on an image of this size; default: the first case"
)
@click.option("--no-report", is_flag=True, help="write no report.html")
@confirm_option
@click.option("--overwrite", is_flag=True, help="start anew where the folder has results")
def pareto(args: Arguments) -> int:
    """Measure a trained network at every phi, on one's own data and machine.

    Its score on the cases of a data set with a confidence interval, its operations, time and working memory on this
    machine (the peak of one inference, beside the weights, the image and the process).

      monai-hyperscale pareto BUNDLE --dataset DIR -o validation/
      monai-hyperscale pareto BUNDLE --dataset DIR -o test/ --cases test --phi 0.2
      monai-hyperscale pareto BUNDLE --dataset DIR --phi 0:0.5:0.05 --metric hd95

    The first measures the validation cases, for phi to be chosen on; the second has a last look at what was chosen, on
    the test cases. Writes frontier.json, tables (frontier.csv, frontier_cases.csv) and report.html. An interrupted
    command goes on where it was when it is repeated. Under torchrun the processes share the cases.
    """
    check_folder("--output", args.output)
    if args.confirm is not None and args.no_report:
        raise ArgumentError("--confirm is for the report; leave --no-report out.")
    own = (args.output.resolve(), (args.output / "frontier.json").resolve())
    if args.confirm is not None and args.confirm.resolve() in own:
        raise ArgumentError("--confirm is of other cases than --output; name another folder.")
    from monai_hyperscale.search.evaluation import phi_grid
    from monai_hyperscale.search.results import read_frontier

    phis = None if args.phi is None else phi_grid(args.phi)
    # Read before the sweep, which takes minutes.
    confirm = None if args.confirm is None else read_frontier(args.confirm)
    with _process_number() as rank:
        return _measure(args, phis, confirm, rank)


def _measure(args: Arguments, phis: Optional[list[tuple[float, ...]]], confirm: Optional[Frontier], rank: int) -> int:
    from monai_hyperscale.report import write_report
    from monai_hyperscale.report.examples import example_of
    from monai_hyperscale.search.cost import WORKING_MEMORY
    from monai_hyperscale.search.evaluation import default_grid, phi_grid
    from monai_hyperscale.search.frontier import UNFINISHED, SweepOptions, sweep, sweep_plan, together
    from monai_hyperscale.search.progress_files import ProgressFiles
    from monai_hyperscale.search.tables import print_frontier

    logger = logging.getLogger("monai_hyperscale")
    level = logger.level
    if rank > 0:  # all processes would print the same of network and data
        logger.setLevel(logging.ERROR)
    workload = workload_of(args, args.bundle, args.cases)
    logger.setLevel(level)
    grid = args.phi or default_grid(workload.settings.phi_range)
    phis = phis or phi_grid(grid)
    workload.check_phi(phis)
    if confirm is not None:
        warning = _check_confirmation(workload, phis, confirm, str(args.confirm))
        if warning is not None and rank == 0:
            say(f"warning: {warning}")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    notes = {"phi": grid, "limit": args.limit, "command": command_line(args), "processes": processes}
    options = SweepOptions(args.repeats, not args.no_memory, args.size, args.bootstrap, args.seed, notes)
    path, page = args.output / "frontier.json", args.output / "report.html"
    files = ProgressFiles(args.output / UNFINISHED)
    plan = sweep_plan(workload, phis)
    if args.overwrite and rank == 0:
        files.check()
        # A page of the old results would stand beside the new ones.
        for old in (path, *(args.output / name for name in _TABLES), *([page] if path.exists() else [])):
            old.unlink(missing_ok=True)
        files.remove()
    together()
    frontier: Optional[Frontier] = None
    known = path.exists() and not args.overwrite
    if known:
        if rank > 0:
            return DONE
        frontier = _finished(args, workload, plan, options)
        say(f"{path} has been measured already; add --overwrite to measure again")
    else:
        tables = (*_TABLES, *([] if args.no_report else ["report.html"]))
        others = [name for name in tables if (args.output / name).exists()]
        if others and not args.overwrite and not files.folder.exists():
            raise ArgumentError(
                f"{args.output} has a {others[0]} but no frontier.json; name another folder with -o, or add "
                "--overwrite to replace it."
            )
        cases = len(workload.names)
        if rank == 0:
            noun = f"{cases} case{'s' * (cases != 1)} ({workload.part})"
            say(f"{workload.title}: {noun}, {len(phis)} phi, on {workload.device}")
            files.begin(plan)
            if there := files.count():
                told = f"{there} of {len(phis) * cases} scores are in {files.folder}"
                say(f"going on where an earlier sweep stopped: {told}")
        # Processes share the cases, or the phi where there are fewer cases.
        share = len(phis) * math.ceil(cases / processes)
        if processes > cases:
            share = math.ceil(len(phis) / processes) * cases
        with progress(share + len(phis) * (2 + options.rounds), "step", shown=rank == 0) as step:
            try:
                frontier = sweep(workload, phis, args.output, options, step)
            except KeyboardInterrupt:
                same = f"the same command{' without --overwrite' * args.overwrite}"
                say(f"unfinished: {same} goes on with what is in {files.folder}")
                raise
        if frontier is None:
            return DONE
        frontier.write(path)
        files.remove()
    print_frontier(frontier)
    if "memory" in frontier.pareto:
        say(WORKING_MEMORY)
    if not args.no_report:
        write_report(frontier, page, [example_of(workload, frontier)], confirm=confirm)
    written = [str(path)] * (not known) + [str(page)] * (not args.no_report)
    if written:
        say(f"wrote {' and '.join(written)}")
    return DONE


def _check_confirmation(
    workload: Workload, phis: Sequence[tuple[float, ...]], confirm: Frontier, name: str
) -> Optional[str]:
    """Check before a sweep, which takes minutes, whether another frontier can confirm it; return a warning of it."""
    from dataclasses import replace

    from monai_hyperscale.search.budget import confirmation
    from monai_hyperscale.search.results import FrontierRow, Interval

    unmeasured = replace(
        confirm,
        bundle=workload.bundle_facts(),
        data={"name": workload.title, "cases": workload.names},
        labels=workload.labels,
        metric=workload.metric_facts,
        rows=tuple(FrontierRow(phi, Interval(None, None, None)) for phi in phis),
    )
    found = confirmation(unmeasured, confirm, name)
    found.check_common_phi()
    return found.warning


def _finished(args: Arguments, workload: Workload, plan: dict[str, object], options: SweepOptions) -> Frontier:
    """Return the results that are there, after a check that they are of the same command."""
    from monai_hyperscale.io.files import digest
    from monai_hyperscale.search.frontier import option_facts
    from monai_hyperscale.search.results import read_frontier

    path = args.output / "frontier.json"
    frontier = read_frontier(path, "add --overwrite to measure again, or name another folder with -o")
    facts, told = option_facts(workload, options), ""
    other = [option for name, option in _OPTIONS.items() if frontier.options.get(name, facts[name]) != facts[name]]
    if frontier.options.get("fingerprint") != digest(plan):
        told = "of another network, data set, grid of phi or choice of options"
    elif other:
        told = f"measured with another {' and '.join(other)}"
    if told:
        raise ArgumentError(f"{path} exists already, {told}; add --overwrite, or name another folder with -o.")
    return frontier


@contextmanager
def _process_number() -> Iterator[int]:
    """Give this process's number among those of ``torchrun``; 0 where it is alone."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield 0
        return
    from datetime import timedelta

    import torch.distributed as dist

    # One process may measure for long while the others wait.
    dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
