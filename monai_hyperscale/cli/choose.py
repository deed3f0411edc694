"""``monai-hyperscale choose``: the φ that a budget allows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any, Optional

import rich_click as click

from monai_hyperscale.cli.workloads import cases_option, command_line, workload_of, workload_options
from monai_hyperscale.console.command import DONE, FAILED, Arguments, Existing, command, wrong_arguments
from monai_hyperscale.console.messages import progress, say
from monai_hyperscale.console.options import COUNT, DATASET, PATH, confirm_option
from monai_hyperscale.console.outputs import check_outputs
from monai_hyperscale.console.tables import print_table
from monai_hyperscale.errors import ArgumentError, FrontierError

if TYPE_CHECKING:
    from monai_hyperscale.search import Choice, Frontier, FrontierRow
    from monai_hyperscale.search.budget import Limit, Objective

_UNITS = {"flops": ("compute", "GFLOPs", 1e9), "latency": ("time", "ms", 1e-3), "memory": ("working memory", "MB", 1e6)}
# Of options that only have a meaning where φ are measured.
_MEASURING = "Of a bundle"
_measuring_option = partial(click.option, panel=_MEASURING)


@dataclass
class _Chosen:
    """A choice, what it was made by and among, and the frontier and row of other cases that confirm it."""

    choice: Choice
    limits: list[Limit]
    objective: Objective
    frontier: Frontier
    confirmed: Optional[tuple[Frontier, FrontierRow]] = None

    @property
    def missed(self) -> list[str]:
        """The limits on the score that the other cases miss; costs there may be of an image of another size."""
        if self.confirmed is None:
            return []
        row = self.confirmed[1]
        return [limit.text for limit in self.limits if limit.quantity == "score" and limit.miss(row) > 0]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        from monai_hyperscale.search.results import row_as_dict

        content: dict[str, Any] = {
            "phi": list(self.choice.row.phi),
            "met": self.choice.met,
            "considered": self.choice.considered,
            "limits": [vars(limit) for limit in self.limits],
            "missed": [limit.text for limit in self.choice.missed],
            "objective": vars(self.objective),
            "row": row_as_dict(self.choice.row),
        }
        if self.confirmed is not None:
            frontier, row = self.confirmed
            content["confirmed"] = {"data": dict(frontier.data), "row": row_as_dict(row), "missed": self.missed}
        return content


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
@_measuring_option("--dataset", type=DATASET, metavar="DIR", help="data set with labels")
@cases_option(panel=_MEASURING)
@_measuring_option("--phi", metavar="GRID", help="that come into question, see pareto; default: steps of 0.01")
@_measuring_option(
    "--sampler", type=click.Choice(["grid", "random", "tpe"]), default="tpe", help="grid measures every phi"
)
@_measuring_option("--evaluations", type=COUNT, default=25, metavar="N", help="phi to measure")
@_measuring_option(
    "-o", "--output", type=PATH, metavar="FILE.json", help="write what was measured, with tables (.csv) beside it"
)
@_measuring_option("--overwrite", is_flag=True, help="replace outputs that exist")
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
    if args.output is not None:
        check_outputs({"--output": (args.output, (".json",))}, [args.source, args.confirm], args.overwrite)
        for end in (".csv", "_cases.csv"):
            table = args.output.with_name(args.output.stem + end)
            check_outputs({"a table of --output": (table, (".csv",))}, [], args.overwrite)
    # A frontier knows the bundle's name, not where it lies.
    return _tell(args, _from_table(args), "BUNDLE") if is_table else _tell(args, _by_measuring(args), str(args.source))


def _from_table(args: Arguments) -> _Chosen:
    from monai_hyperscale.search.budget import choose, measured_costs, metric_key
    from monai_hyperscale.search.results import read_frontier

    used = ("source", "within", "at_least", "minimize", "maximize", "confirm", "json")
    unused = [f"--{name.replace('_', '-')}" for name in vars(args) if name in args.given and name not in used]
    if unused:
        verb = "is" if len(unused) == 1 else "are"
        raise ArgumentError(
            f"{' and '.join(unused)} {verb} for a bundle with --dataset; {args.source} was measured already."
        )
    frontier = read_frontier(args.source)
    if frontier.data["part"] == "test":
        say(
            f"warning: {args.source} is of test cases; once phi is chosen by them they are validation cases, and no "
            "test cases are left."
        )
    limits, objective = _wishes(args, frontier.metric, metric_key(frontier), measured_costs(frontier.rows))
    chosen = _Chosen(choose(frontier.rows, limits, objective), limits, objective, frontier)
    if args.confirm is not None:
        _confirm(chosen, read_frontier(args.confirm), str(args.confirm))
    return chosen


def _by_measuring(args: Arguments) -> _Chosen:
    from monai_hyperscale.search.budget import choose
    from monai_hyperscale.search.evaluation import RowMeasurer, default_grid, phi_grid, search_phi
    from monai_hyperscale.search.frontier import SweepOptions, make_frontier, sweep_plan
    from monai_hyperscale.search.results import read_frontier

    # Before the measuring, which a damaged file would make vain.
    other = None if args.confirm is None else read_frontier(args.confirm)
    workload = workload_of(args, args.source, args.cases)
    text = args.phi or default_grid(workload.settings.phi_range)
    grid = phi_grid(text)
    workload.check_phi(grid)
    limits, objective = _wishes(args, workload.metric_facts, workload.choices["metric"], ["flops"])
    quantities = {objective.quantity, *(limit.quantity for limit in limits)}
    notes = {
        "phi": text,
        "limit": args.limit,
        "sampler": args.sampler,
        "evaluations": args.evaluations,
        "limits": [limit.text for limit in limits],
        "minimize" if objective.minimize else "maximize": objective.quantity,
        "command": command_line(args),
    }
    rounds = SweepOptions.rounds * ("latency" in quantities)
    options = SweepOptions(rounds, "memory" in quantities, seed=args.seed, notes=notes)
    measure = RowMeasurer(workload, options)
    evaluations = len(grid) if args.sampler == "grid" else min(args.evaluations, len(grid))
    say(f"{workload.title}: {len(workload.names)} cases ({workload.part}), up to {evaluations} of {len(grid)} phi")
    with progress(evaluations, "phi") as step:
        rows = search_phi(measure, grid, limits, objective, args.sampler, evaluations, args.seed, measure.flops, step)
    frontier = make_frontier(workload, rows, options, sweep_plan(workload, [row.phi for row in rows]))
    chosen = _Chosen(choose(rows, limits, objective), limits, objective, frontier)
    if args.output is not None:
        # Before the confirmation, which may fail.
        frontier.write(args.output)
    if other is not None:
        _confirm(chosen, other, str(args.confirm))
    elif workload.part == "validation" and chosen.choice.met:
        test = workload_of(args, args.source, "test")
        row = RowMeasurer(test, options)(chosen.choice.row.phi)
        chosen.confirmed = make_frontier(test, [row], options, {}), row
    if args.output is not None and chosen.choice.met:
        content = chosen.as_dict()
        replace(frontier, choice={name: content[name] for name in content if name != "row"}).write(args.output)
    return chosen


def _wishes(args: Arguments, metric: Any, key: Optional[str], measured: list[str]) -> tuple[list[Limit], Objective]:
    from monai_hyperscale.search.budget import default_objective, read_limits, read_objective

    with wrong_arguments(FrontierError):
        limits = read_limits([*args.within, *args.at_least], metric, key)
        if args.minimize is not None or args.maximize is not None:
            return limits, read_objective(args.minimize or args.maximize, args.minimize is not None, metric, key)
    return limits, default_objective(limits, measured, bool(metric["higher_is_better"]))


def _confirm(chosen: _Chosen, other: Frontier, name: str) -> None:
    from monai_hyperscale.search.budget import confirmation

    found = confirmation(chosen.frontier, other, name)
    chosen.confirmed = found.other, found.row(chosen.choice.row.phi)
    if found.warning is not None:
        say(f"warning: {found.warning}")


def _tell(args: Arguments, chosen: _Chosen, bundle: str) -> int:
    from monai_hyperscale.search.budget import cases_in_words, unconfirmed
    from monai_hyperscale.search.results import phi_name

    choice, frontier, confirmed = chosen.choice, chosen.frontier, chosen.confirmed
    phi = phi_name(choice.row.phi)
    wanted = ", ".join(limit.text for limit in chosen.limits) or "all"
    # Its files are compared on a case of the data set.
    command = f"monai-hyperscale fold {quote(bundle)} --phi {phi} -o OUT --dataset {quote(str(args.dataset or 'DIR'))}"
    note = None
    if choice.met and confirmed is None:
        way = "leave --cases out" if args.cases else "measure others with pareto, and add them with --confirm"
        note = unconfirmed(frontier, None if args.dataset is None else way)
    if args.json:
        content = {**chosen.as_dict(), "next": command if choice.met else None}
        print(json.dumps(content | ({"note": note} if note else {}), indent=1))
    elif choice.met:
        print(f"phi = {phi}")
        print_table(_rows(choice.row, frontier))
        best = "least" if chosen.objective.minimize else "best"
        name = frontier.metric["name"] if chosen.objective.quantity == "score" else chosen.objective.quantity
        among = f"{choice.met} of {choice.considered} phi that meet {wanted}"
        print(f"the {best} {name} of {among if chosen.limits else f'{choice.considered} phi'}")
        if confirmed is not None:
            verdict = f"misses {', '.join(chosen.missed)}" if chosen.missed else "meets the limits"
            print(f"\n{'not ' * bool(chosen.missed)}confirmed on {cases_in_words(confirmed[0])}: {verdict}")
            print_table(_rows(confirmed[1], confirmed[0]))
        if note is not None:
            print(f"\nnote: {note}.")
        where = f"  (BUNDLE: the folder of {frontier.bundle['name']}, DIR: of {frontier.data['name']})"
        print(f"\nnext: {command}{where if args.dataset is None else ''}")
    if choice.met:
        return FAILED if chosen.missed else DONE
    facts = "; ".join(" ".join(row).strip() for row in _rows(choice.row, frontier))
    misses = ", ".join(limit.text for limit in choice.missed)
    say(
        f"error: no phi of {choice.considered} meets {wanted}; the nearest is phi = {phi}, which misses {misses} "
        f"({facts})."
    )
    return FAILED


def _rows(row: FrontierRow, frontier: Frontier) -> list[tuple[str, str]]:
    from monai_hyperscale.search.budget import cases_in_words

    score, told = row.score, "none"
    if score.mean is not None:
        told = f"{score.mean:.4f} (95 % interval {score.low:.4f} - {score.high:.4f}, {cases_in_words(frontier)})"
    lines = [(f"  {frontier.metric['name']}", told)]
    for cost, (title, unit, scale) in _UNITS.items():
        value = row.cost(cost)
        if value is None:
            continue
        spread = " (beside weights, image and process)" if cost == "memory" else ""
        if cost == "latency" and row.latency is not None:
            spread = f" (quartiles {row.latency.low / scale:.4g} - {row.latency.high / scale:.4g})"
        lines.append((f"  {title}", f"{value / scale:.4g} {unit}{spread}"))
    return lines
