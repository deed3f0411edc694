"""``monai-hyperscale choose``: the φ that a budget allows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Optional

import rich_click as click

from monai_hyperscale.cli.workloads import cases_option, command_line, workload_of, workload_options
from monai_hyperscale.console.command import Arguments, Existing, command
from monai_hyperscale.console.exit_codes import DONE, FAILED
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import COUNT, DATASET, PATH, confirm_option
from monai_hyperscale.console.outputs import check_outputs
from monai_hyperscale.console.tables import print_table
from monai_hyperscale.errors import ArgumentError, FrontierError

if TYPE_CHECKING:
    from monai_hyperscale.search import Choice, Frontier, FrontierRow
    from monai_hyperscale.search.budget import Limit, Objective

__all__ = ["choose"]

_UNITS = {"flops": ("GFLOPs", 1e9), "latency": ("ms", 1e-3), "memory": ("MB", 1e6)}
_TITLES = {"flops": "compute", "latency": "time", "memory": "working memory"}
# Of options that only have a meaning where φ are measured.
_MEASURING = "Of a bundle"


@command("choose", "choose phi by a budget", exclusive=[("--minimize", "--maximize")])
@click.argument(
    "source",
    type=Existing("frontier or bundle"),
    metavar="FRONTIER|BUNDLE",
    help="frontier.json, its folder, or a trained bundle",
)
@click.option("--within", multiple=True, metavar="LIMIT", help="such as latency<=40ms; again for more")
@click.option("--at-least", multiple=True, metavar="LIMIT", help="such as dice>=0.88")
@click.option(
    "--minimize",
    metavar="COST",
    help="latency, flops or memory; default: the first bounded, else of a frontier latency, of a bundle flops",
)
@click.option("--maximize", metavar="SCORE", help="the score, such as dice")
@confirm_option
@click.option("--json", is_flag=True, help="print JSON")
@click.option("--dataset", type=DATASET, metavar="DIR", help="data set with labels", panel=_MEASURING)
@cases_option(panel=_MEASURING)
@click.option(
    "--phi", metavar="GRID", help="that come into question, see pareto; default: steps of 0.01", panel=_MEASURING
)
@click.option(
    "--sampler",
    type=click.Choice(["grid", "random", "tpe"]),
    default="tpe",
    help="grid measures every phi",
    panel=_MEASURING,
)
@click.option("--evaluations", type=COUNT, default=25, metavar="N", help="phi to measure", panel=_MEASURING)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE.json",
    help="write what was measured, with tables (.csv) beside it",
    panel=_MEASURING,
)
@click.option("--overwrite", is_flag=True, help="replace outputs that exist", panel=_MEASURING)
@workload_options(_MEASURING)
def choose(args: Arguments) -> int:
    """Choose the phi that a budget allows: among those of a frontier that was measured, or of a bundle by measuring.

      monai-hyperscale choose validation/ --at-least "dice>=0.88"
      monai-hyperscale choose validation/ --within "latency<=40ms, memory<=2GB" --confirm test/
      monai-hyperscale choose BUNDLE --dataset DIR --at-least "dice>=0.88" --minimize flops

    Where the score is bounded the least of a cost is chosen, else the best score. The exit code is 1 where no phi
    meets the limits, or the score misses them on the cases to confirm on. Limits are on latency (us, ms, s), memory
    (MB, GB, MiB, GiB), flops (M, G, T) and the score. Memory is the peak of one inference, beside the weights, the
    image and the process.
    """
    is_table = args.source.is_file() or (args.source / "frontier.json").is_file()
    if is_table and args.dataset is not None:
        raise ArgumentError(f"{args.source} was measured already; leave --dataset out, or name a bundle.")
    if not is_table and args.dataset is None:
        raise ArgumentError("a bundle needs --dataset to measure on; or name a measured frontier.")
    if not (args.within or args.at_least or args.minimize or args.maximize):
        raise ArgumentError('name a limit, such as --within "latency<=40ms" or --at-least "dice>=0.88".')
    if is_table:
        _check_unused(args)
    if args.output is not None:
        check_outputs({"--output": (args.output, (".json",))}, [args.source, args.confirm], args.overwrite)
        for end in (".csv", "_cases.csv"):
            table = args.output.with_name(args.output.stem + end)
            check_outputs({"a table of --output": (table, (".csv",))}, [], args.overwrite)
    return _from_table(args) if is_table else _by_measuring(args)


def _check_unused(args: Arguments) -> None:
    """Refuse what only has a meaning where φ are measured."""
    source = ("source", "within", "at_least", "minimize", "maximize", "confirm", "json")
    named = [f"--{name.replace('_', '-')}" for name in vars(args) if name in args.given and name not in source]
    if named:
        verb = "is" if len(named) == 1 else "are"
        raise ArgumentError(
            f"{' and '.join(named)} {verb} for a bundle with --dataset; {args.source} was measured already."
        )


def _from_table(args: Arguments) -> int:
    from monai_hyperscale.search.budget import choose, measured_costs, metric_key
    from monai_hyperscale.search.results import read_frontier

    frontier = read_frontier(args.source)
    if frontier.data["part"] == "test":
        say(
            f"warning: {args.source} is of test cases; once phi is chosen by them they are validation cases, and no "
            "test cases are left."
        )
    limits, objective = _wishes(args, frontier.metric, metric_key(frontier), measured_costs(frontier.rows))
    choice = choose(frontier.rows, limits, objective)
    confirmed = None
    if args.confirm is not None:
        confirmed = _confirming(read_frontier(args.confirm), args.confirm, frontier, choice.row)
    # A frontier knows the bundle's name, not where it lies.
    return _tell(args, choice, limits, objective, frontier, "BUNDLE", confirmed)


def _by_measuring(args: Arguments) -> int:
    from tqdm import tqdm

    from monai_hyperscale.search.budget import choose
    from monai_hyperscale.search.evaluation import RowMeasurer, search_phi
    from monai_hyperscale.search.frontier import SweepOptions, make_frontier, sweep_plan
    from monai_hyperscale.search.grids import default_grid, phi_grid
    from monai_hyperscale.search.results import read_frontier

    # Before the measuring, which a damaged file would make vain.
    other = None if args.confirm is None else read_frontier(args.confirm)
    workload = workload_of(args, args.source, args.cases)
    text = args.phi or default_grid(workload.settings.phi_range)
    grid = phi_grid(text)
    workload.check_phi(grid)
    limits, objective = _wishes(args, workload.metric_facts, workload.choices["metric"], ["flops"])
    quantities = {objective.quantity, *(limit.quantity for limit in limits)}
    best = "minimize" if objective.minimize else "maximize"
    notes = {
        "phi": text,
        "limit": args.limit,
        "sampler": args.sampler,
        "evaluations": args.evaluations,
        "limits": [limit.text for limit in limits],
        best: objective.quantity,
        "command": command_line(args),
    }
    rounds = SweepOptions.rounds * ("latency" in quantities)
    options = SweepOptions(rounds, "memory" in quantities, seed=args.seed, notes=notes)
    measure = RowMeasurer(workload, quantities, options)
    evaluations = len(grid) if args.sampler == "grid" else min(args.evaluations, len(grid))
    say(f"{workload.title}: {len(workload.names)} cases ({workload.part}), up to {evaluations} of {len(grid)} phi")
    with tqdm(total=evaluations, unit="phi", file=sys.stderr) as bar:
        rows = search_phi(
            measure, grid, limits, objective, args.sampler, evaluations, args.seed, measure.flops, bar.update
        )
    choice = choose(rows, limits, objective)
    frontier = make_frontier(workload, rows, options, sweep_plan(workload, [row.phi for row in rows]))
    confirmed = None
    if args.output is not None:
        # Before the confirmation, which may fail.
        frontier.write(args.output)
    if other is not None:
        confirmed = _confirming(other, args.confirm, frontier, choice.row)
    elif workload.part == "validation" and choice.met:
        test = workload_of(args, args.source, "test")
        row = RowMeasurer(test, quantities, options)(choice.row.phi)
        confirmed = make_frontier(test, [row], options, {}), row
    if args.output is not None and choice.met:
        chosen = _as_json(choice, limits, objective, confirmed)
        replace(frontier, choice={name: chosen[name] for name in chosen if name != "row"}).write(args.output)
    return _tell(args, choice, limits, objective, frontier, quote(str(args.source)), confirmed)


def _wishes(args: Arguments, metric: Any, key: Optional[str], measured: list[str]) -> tuple[list[Limit], Objective]:
    from monai_hyperscale.search.budget import default_objective, read_limits, read_objective

    try:
        limits = read_limits([*args.within, *args.at_least], metric, key)
        if args.minimize is not None or args.maximize is not None:
            wanted = args.minimize or args.maximize
            return limits, read_objective(wanted, args.minimize is not None, metric, key)
    except FrontierError as error:
        raise ArgumentError(str(error)) from error
    return limits, default_objective(limits, measured, bool(metric["higher_is_better"]))


def _confirming(other: Frontier, path: Path, frontier: Frontier, row: FrontierRow) -> tuple[Frontier, FrontierRow]:
    from monai_hyperscale.search.confirmation import confirmation

    found = confirmation(frontier, other, str(path))
    confirmed = found.row(row.phi)
    if found.warning is not None:
        say(f"warning: {found.warning}")
    return found.other, confirmed


def _tell(
    args: Arguments,
    choice: Choice,
    limits: list[Limit],
    objective: Objective,
    frontier: Frontier,
    bundle: str,
    confirmed: Optional[tuple[Frontier, FrontierRow]],
) -> int:
    from monai_hyperscale.search.confirmation import unconfirmed
    from monai_hyperscale.search.results import phi_name

    phi = phi_name(choice.row.phi)
    wanted = "all" if not limits else ", ".join(limit.text for limit in limits)
    # Its files are compared on a case of the data set.
    command = f"monai-hyperscale fold {bundle} --phi {phi} -o OUT --dataset {quote(str(args.dataset or 'DIR'))}"
    note = None
    if choice.met and confirmed is None:
        way = "leave --cases out" if args.cases else "measure others with pareto, and add them with --confirm"
        note = unconfirmed(frontier, None if args.dataset is None else way)
    if args.json:
        content = {**_as_json(choice, limits, objective, confirmed), "next": command if choice.met else None}
        print(json.dumps(content | ({"note": note} if note else {}), indent=1))
    elif choice.met:
        print(f"phi = {phi}")
        print_table(_rows(choice.row, frontier))
        best = "least" if objective.minimize else "best"
        name = frontier.metric["name"] if objective.quantity == "score" else objective.quantity
        among = f"{choice.met} of {choice.considered} phi that meet {wanted}" if limits else f"{choice.considered} phi"
        print(f"the {best} {name} of {among}")
        if confirmed is not None:
            missed = _missed(limits, confirmed)
            verdict = f"misses {', '.join(missed)}" if missed else "meets the limits"
            told = f"{'not ' * bool(missed)}confirmed on {len(confirmed[0].data['cases'])}"
            print(f"\n{told} {confirmed[0].data['part']} cases: {verdict}")
            print_table(_rows(confirmed[1], confirmed[0]))
        if note is not None:
            print(f"\nnote: {note}.")
        where = f"  (BUNDLE: the folder of {frontier.bundle['name']}, DIR: of {frontier.data['name']})"
        where = "" if args.dataset is not None else where
        print(f"\nnext: {command}{where}")
    if choice.met:
        return FAILED if _missed(limits, confirmed) else DONE
    facts = "; ".join(" ".join(row).strip() for row in _rows(choice.row, frontier))
    misses = ", ".join(limit.text for limit in choice.missed)
    say(
        f"error: no phi of {choice.considered} meets {wanted}; the nearest is phi = {phi}, which misses {misses} "
        f"({facts})."
    )
    return FAILED


def _missed(limits: list[Limit], confirmed: Optional[tuple[Frontier, FrontierRow]]) -> list[str]:
    """Return the limits on the score that the other cases miss; costs there may be of an image of another size."""
    if confirmed is None:
        return []
    return [limit.text for limit in limits if limit.quantity == "score" and limit.miss(confirmed[1]) > 0]


def _rows(row: FrontierRow, frontier: Frontier) -> list[tuple[str, str]]:
    score, cases = row.score, f"{len(frontier.data['cases'])} {frontier.data['part']} cases"
    lines = [(str(frontier.metric["name"]), "none")]
    if score.mean is not None:
        lines = [(lines[0][0], f"{score.mean:.4f} (95 % interval {score.low:.4f} - {score.high:.4f}, {cases})")]
    for cost, (unit, scale) in _UNITS.items():
        value = row.cost(cost)
        if value is None:
            continue
        spread = ""
        if cost == "latency" and row.latency is not None:
            spread = f" (quartiles {row.latency.low / scale:.4g} - {row.latency.high / scale:.4g})"
        if cost == "memory":
            spread = " (beside weights, image and process)"
        lines.append((_TITLES[cost], f"{value / scale:.4g} {unit}{spread}"))
    return [(f"  {name}", text) for name, text in lines]


def _as_json(
    choice: Choice,
    limits: list[Limit],
    objective: Objective,
    confirmed: Optional[tuple[Frontier, FrontierRow]],
) -> dict[str, Any]:
    from monai_hyperscale.search.results import row_as_dict

    content: dict[str, Any] = {
        "phi": list(choice.row.phi),
        "met": choice.met,
        "considered": choice.considered,
        "limits": [vars(limit) for limit in limits],
        "missed": [limit.text for limit in choice.missed],
        "objective": vars(objective),
        "row": row_as_dict(choice.row),
    }
    if confirmed is not None:
        missed = _missed(limits, confirmed)
        content["confirmed"] = {"data": dict(confirmed[0].data), "row": row_as_dict(confirmed[1]), "missed": missed}
    return content
