"""``monai-hyperscale choose``: the φ that a budget allows."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Optional

from monai_hyperscale.cli.workloads import WORKLOAD_DEFAULTS, add_workload_arguments, command_line, workload_of
from monai_hyperscale.console.arguments import count
from monai_hyperscale.console.exit_codes import DONE, FAILED
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.outputs import check_outputs
from monai_hyperscale.errors import FrontierError

if TYPE_CHECKING:
    from monai_hyperscale.search import Choice, Frontier, FrontierRow
    from monai_hyperscale.search.budget import Limit, Objective

__all__ = ["DESCRIPTION", "SUMMARY", "add_arguments", "run"]

SUMMARY = "choose phi by a budget"
DESCRIPTION = """\
Choose the phi that a budget allows: among those of a frontier that was measured,
or of a bundle by measuring a few.

  monai-hyperscale choose frontier/ --at-least "dice>=0.88"
  monai-hyperscale choose validation/ --within "latency<=40ms, memory<=2GB" --confirm test/
  monai-hyperscale choose BUNDLE --dataset DIR --at-least "dice>=0.88" --minimize flops

Where the score is bounded the least of a cost is chosen, else the best score. The exit
code is 1 where no phi meets the limits, or the score misses them on the cases to
confirm on. Limits are on latency (us, ms, s), memory (MB, GB, MiB, GiB), flops (M, G, T) and the score.
Memory is the peak of one inference, beside the weights, the image and the process.
"""
_UNITS = {"flops": ("GFLOPs", 1e9), "latency": ("ms", 1e-3), "memory": ("MB", 1e6)}
# Defaults of what only has a meaning where φ are measured.
_MEASURING = {"cases": "validation", "sampler": "tpe", "evaluations": 25, **WORKLOAD_DEFAULTS, "overwrite": False}
_TITLES = {"flops": "compute", "latency": "time", "memory": "working memory"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "source", type=Path, metavar="FRONTIER|BUNDLE", help="frontier.json, its folder, or a trained bundle"
    )
    parser.add_argument("--within", action="append", default=[], metavar="LIMIT", help="such as latency<=40ms")
    parser.add_argument("--at-least", action="append", default=[], metavar="LIMIT", help="such as dice>=0.88")
    objective = parser.add_mutually_exclusive_group()
    objective.add_argument(
        "--minimize",
        metavar="COST",
        help="latency, flops or memory; default: the first bounded, else of a frontier latency, of a bundle flops",
    )
    objective.add_argument("--maximize", metavar="SCORE", help="the score, such as dice")
    parser.add_argument("--confirm", type=Path, metavar="FRONTIER", help="frontier of other cases to confirm on")
    parser.add_argument("--json", action="store_true", help="print JSON")
    measuring = parser.add_argument_group("of a bundle")
    measuring.add_argument("--dataset", type=Path, metavar="DIR", help="data set with labels")
    measuring.add_argument(
        "--cases",
        choices=("test", "validation", "all"),
        default=_MEASURING["cases"],
        help="to choose on; default: validation, and the choice is confirmed on the test cases",
    )
    measuring.add_argument("--phi", metavar="GRID", help="that come into question, see pareto; default: steps of 0.01")
    measuring.add_argument(
        "--sampler",
        choices=("grid", "random", "tpe"),
        default=_MEASURING["sampler"],
        help="grid measures every phi; default: tpe",
    )
    measuring.add_argument(
        "--evaluations",
        type=count,
        default=_MEASURING["evaluations"],
        metavar="N",
        help="phi to measure; default: %(default)s",
    )
    measuring.add_argument(
        "-o", "--output", type=Path, metavar="FILE.json", help="write what was measured, with tables (.csv) beside it"
    )
    measuring.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    add_workload_arguments(measuring)


def run(args: argparse.Namespace) -> int:
    """Choose, print and return the exit code."""
    for path in (args.source, args.confirm, args.dataset):
        if path is not None and not path.exists():
            raise argparse.ArgumentTypeError(f"{path} does not exist.")
    is_table = args.source.is_file() or (args.source / "frontier.json").is_file()
    if is_table and args.dataset is not None:
        raise argparse.ArgumentTypeError(f"{args.source} was measured already; leave --dataset out, or name a bundle.")
    if not is_table and args.dataset is None:
        raise argparse.ArgumentTypeError("a bundle needs --dataset to measure on; or name a measured frontier.")
    if not (args.within or args.at_least or args.minimize or args.maximize):
        raise argparse.ArgumentTypeError('name a limit, such as --within "latency<=40ms" or --at-least "dice>=0.88".')
    if is_table:
        _check_unused(args)
    if args.output is not None:
        check_outputs({"--output": (args.output, (".json",))}, [args.source, args.confirm], args.overwrite)
        for end in (".csv", "_cases.csv"):
            table = args.output.with_name(args.output.stem + end)
            check_outputs({"a table of --output": (table, (".csv",))}, [], args.overwrite)
    return _from_table(args) if is_table else _by_measuring(args)


def _check_unused(args: argparse.Namespace) -> None:
    """Refuse what only has a meaning where φ are measured."""
    given = {name: getattr(args, name) for name in ("phi", "output", "limit", "tolerance", "regularization")}
    given |= {name: None if getattr(args, name) == value else value for name, value in _MEASURING.items()}
    named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if named:
        verb = "is" if len(named) == 1 else "are"
        raise argparse.ArgumentTypeError(
            f"{' and '.join(named)} {verb} for a bundle with --dataset; {args.source} was measured already."
        )


def _from_table(args: argparse.Namespace) -> int:
    from monai_hyperscale.search.budget import choose, measured_costs, metric_key
    from monai_hyperscale.search.results import read_frontier

    frontier = read_frontier(args.source)
    limits, objective = _wishes(args, frontier.metric, metric_key(frontier), measured_costs(frontier.rows))
    choice = choose(frontier.rows, limits, objective)
    confirmed = None
    if args.confirm is not None:
        confirmed = _confirming(read_frontier(args.confirm), args.confirm, frontier, choice.row)
    # A frontier knows the bundle's name, not where it lies.
    return _tell(args, choice, limits, objective, frontier, "BUNDLE", confirmed)


def _by_measuring(args: argparse.Namespace) -> int:
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
    elif args.cases == "validation" and choice.met:
        test = workload_of(args, args.source, "test")
        row = RowMeasurer(test, quantities, options)(choice.row.phi)
        confirmed = make_frontier(test, [row], options, {}), row
    if args.output is not None and choice.met:
        chosen = _as_json(choice, limits, objective, confirmed)
        replace(frontier, choice={name: chosen[name] for name in chosen if name != "row"}).write(args.output)
    return _tell(args, choice, limits, objective, frontier, quote(str(args.source)), confirmed)


def _wishes(
    args: argparse.Namespace, metric: Any, key: Optional[str], measured: list[str]
) -> tuple[list[Limit], Objective]:
    from monai_hyperscale.search.budget import default_objective, read_limits, read_objective

    try:
        limits = read_limits([*args.within, *args.at_least], metric, key)
        if args.minimize is not None or args.maximize is not None:
            wanted = args.minimize or args.maximize
            return limits, read_objective(wanted, args.minimize is not None, metric, key)
    except FrontierError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return limits, default_objective(limits, measured, bool(metric["higher_is_better"]))


def _confirming(other: Frontier, path: Path, frontier: Frontier, row: FrontierRow) -> tuple[Frontier, FrontierRow]:
    from monai_hyperscale.search.confirmation import confirmation

    found = confirmation(frontier, other, str(path))
    confirmed = found.row(row.phi)
    if found.warning is not None:
        say(f"warning: {found.warning}")
    return found.other, confirmed


def _tell(
    args: argparse.Namespace,
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
        note = unconfirmed(frontier, None if args.dataset is None else "leave --cases out")
    if args.json:
        content = {**_as_json(choice, limits, objective, confirmed), "next": command if choice.met else None}
        print(json.dumps(content | ({"note": note} if note else {}), indent=1))
    elif choice.met:
        print(f"phi = {phi}")
        print("\n".join(_lines(choice.row, frontier)))
        best = "least" if objective.minimize else "best"
        name = frontier.metric["name"] if objective.quantity == "score" else objective.quantity
        among = f"{choice.met} of {choice.considered} phi that meet {wanted}" if limits else f"{choice.considered} phi"
        print(f"the {best} {name} of {among}")
        if confirmed is not None:
            missed = _missed(limits, confirmed)
            verdict = f"misses {', '.join(missed)}" if missed else "meets the limits"
            told = f"{'not ' * bool(missed)}confirmed on {len(confirmed[0].data['cases'])}"
            print(f"\n{told} {confirmed[0].data['part']} cases: {verdict}")
            print("\n".join(_lines(confirmed[1], confirmed[0])))
        if note is not None:
            print(f"\nnote: {note}.")
        where = f"  (BUNDLE: the folder of {frontier.bundle['name']}, DIR: of {frontier.data['name']})"
        where = "" if args.dataset is not None else where
        print(f"\nnext: {command}{where}")
    if choice.met:
        return FAILED if _missed(limits, confirmed) else DONE
    facts = "; ".join(" ".join(line.split()) for line in _lines(choice.row, frontier))
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


def _lines(row: FrontierRow, frontier: Frontier) -> list[str]:
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
    width = max(len(name) for name, _ in lines)
    return [f"  {name:<{width}}  {text}" for name, text in lines]


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
