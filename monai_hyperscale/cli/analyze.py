"""``monai-hyperscale analyze``: the analyses of the SSHN paper on one's own network: figures and their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import rich_click as click

from monai_hyperscale.cli.workloads import case_options, command_line, workload_of, workload_options
from monai_hyperscale.console.command import DONE, Arguments, Command, Group, Several
from monai_hyperscale.console.messages import progress, say
from monai_hyperscale.console.options import BUNDLE, DATASET, FRONTIER, PATH, overwrite_option
from monai_hyperscale.console.outputs import check_folder, written_together
from monai_hyperscale.console.tables import print_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# φ of a grid over the trained range: as many as the paper takes from 0 to 1.
_VARIED = 11
_STEP = 0.05
# How far beyond the trained range weights are tried.
_BEYOND = 0.1

analyze = Group(
    "analyze",
    short_help="see how weights change with phi, where they serve, which level counts",
    help="""\
The analyses of the SSHN paper on a network of one's own. Each prints a table and writes its numbers as JSON and its
figures as PNG and SVG.

  monai-hyperscale analyze variation BUNDLE -o analysis/
  monai-hyperscale analyze transfer BUNDLE --dataset DIR --fixed fixed_05/ -o analysis/
  monai-hyperscale analyze levels levels/frontier.json --common frontier.json -o analysis/
""",
)
_output_option = click.option("-o", "--output", type=PATH, default="analysis", metavar="OUT", help="folder")


@analyze.command("variation", cls=Command, short_help="how much generated weights change with phi")
@click.argument("bundle", type=BUNDLE, help="trained bundle")
@click.option(
    "--phi", metavar="GRID", help="0:0.5:0.05, or 0:0.5:0.1x0:0.5:0.1; default: eleven over the trained range"
)
@click.option("--regularization", type=float, metavar="L", help="of networks whose weights depend on one")
@_output_option
@overwrite_option
def variation(args: Arguments) -> int:
    """Show how much every generated weight changes with phi.

    Its coefficient of variation, the standard deviation over its mean's size, over a grid of phi, as a box per layer
    in forward order. A weight that is 0 for every phi has 0; one whose mean is 0 while it varies has none, and is
    counted as undefined.
    """
    outputs = _outputs(args, "variation", "variation")
    import torch

    from monai_hyperscale.analysis import draw_variation, weight_variation
    from monai_hyperscale.bundle.settings import read_settings
    from monai_hyperscale.errors import PhiError
    from monai_hyperscale.inference.networks import model_folder, trained_network
    from monai_hyperscale.io.files import sha256
    from monai_hyperscale.search import phi_grid
    from monai_hyperscale.search.results import phi_name

    folder = model_folder(args.bundle)
    settings = read_settings(folder / "model.json")
    low, high = settings.phi_range
    evenly = dict.fromkeys((round(low + (high - low) * place / (_VARIED - 1), 9),) for place in range(_VARIED))
    grid: list[tuple[float, ...]] = list(evenly) if args.phi is None else phi_grid(args.phi)
    for phi in grid:
        if not settings.context["phi"].trained(phi):
            raise PhiError(f"the network was trained for phi from {low:g} to {high:g}, got {phi_name(phi)}.")
    phis = [settings.context(phi=phi, regularization=args.regularization) for phi in grid]
    network = trained_network(folder, settings).eval()
    name = args.bundle.resolve().name
    layers = weight_variation(network, phis, torch.zeros(1, settings.in_channels, *[16] * settings.spatial_dims))
    content = {
        "bundle": name,
        "weights_sha256": sha256(folder / "model.pt"),
        "phi": [list(phi) for phi in grid],
        "sigma": "of the population",
        "layers": [asdict(layer) for layer in layers],
    }
    lines = [
        [
            layer.layer,
            str(layer.weights),
            _figures(layer.median),
            f"{_figures(layer.low)} - {_figures(layer.high)}",
            f"{_figures(layer.lowest)} - {_figures(layer.highest)}",
            str(layer.undefined),
        ]
        for layer in layers
    ]
    print_table(lines, ["layer", "weights", "median CV", "quartiles", "5 % to 95 %", "undefined"], left=[0])
    figure = draw_variation(layers, f"{name}: {len(grid)} φ from {low:g} to {high:g}" if args.phi is None else name)
    return _written(args, outputs, content, variation=figure)


@analyze.command("transfer", cls=Command, short_help="what weights for one phi score at others")
@click.argument("bundle", type=BUNDLE, help="trained bundle")
@click.option("--dataset", type=DATASET, required=True, metavar="DIR", help="data set with labels")
@click.option(
    "--weights-phi",
    metavar="GRID",
    help="phi that weights are generated for; default: 0.5, or the nearest in the trained range",
)
@click.option(
    "--phi", metavar="GRID", help="phi of the network; default: steps of 0.05 to 0.1 beyond the trained range"
)
@click.option("--fixed", cls=Several, type=BUNDLE, metavar="BUNDLE...", help="networks of method fixed to compare with")
@workload_options()
@case_options
@_output_option
@overwrite_option
def transfer(args: Arguments) -> int:
    """Show what weights generated for one phi score in a network that resizes by another.

    Beside those generated for each phi, and beside plainly trained networks.
    """
    outputs = _outputs(args, "transfer", "transfer")
    from monai_hyperscale.analysis import draw_transfer, fixed_curve, transfer_curve
    from monai_hyperscale.errors import ConfigError
    from monai_hyperscale.search.results import phi_name
    from monai_hyperscale.search.timing import describe_machine

    workload = workload_of(args, args.bundle, args.cases)
    if workload.settings.method in ("fixed", "stochastic"):
        raise ConfigError(
            f"{args.bundle} has the same weights for every phi (method {workload.settings.method}); name a network "
            "that generates them, and this one with --fixed."
        )
    low, high = workload.settings.phi_range
    least, most = max(0.0, low - _BEYOND), min(1.0, high + _BEYOND)
    steps = range(round((most - least) / _STEP + 1e-6) + 1)
    phis = _single(args.phi, "--phi") or [round(least + _STEP * place, 9) for place in steps]
    weights = _single(args.weights_phi, "--weights-phi") or [min(max(0.5, low), high)]
    workload.check_phi([(phi,) for phi in weights])
    others = [workload_of(args, bundle, workload.part) for bundle in args.fixed]
    own = [phi for phi in phis if workload.settings.context["phi"].trained(phi)]
    cases = f"{len(workload.names)} cases ({workload.part})"
    say(f"{workload.title}: {cases}, weights for phi = {phi_name(weights)}, {len(phis)} phi, on {workload.device}")
    total = (len(phis) * (len(weights) + len(others)) + len(own)) * len(workload.names)
    with progress(total, "case") as step:
        shared: dict[str, Any] = {"bootstrap": args.bootstrap, "seed": args.seed, "progress": step}
        # First, so that a network that cannot be compared is told before the rest is measured.
        fixed = [fixed_curve(other, workload, phis, **shared) for other in others]
        curves = [transfer_curve(workload, phi, phis, **shared) for phi in weights]
        curves += [transfer_curve(workload, None, own, **shared)] if own else []
    curves += fixed
    content = {
        "task": workload.task,
        "bundle": workload.bundle_facts(),
        "fixed": [other.bundle_facts() for other in others],
        "data": workload.data_facts(),
        "metric": workload.metric_facts,
        "machine": describe_machine(workload.device),
        "options": {**workload.choices, "bootstrap_samples": args.bootstrap, "seed": args.seed},
        "curves": [curve.as_dict() for curve in curves],
    }
    found = [dict(zip(curve.phis, curve.scores, strict=True)) for curve in curves]
    lines = [
        [f"{phi:g}", *(_figures(scores[phi].mean if phi in scores else None, ".4f") for scores in found)]
        for phi in phis
    ]
    metric = workload.metric_facts["name"]
    print(f"{metric}, mean of {cases}")
    print_table(lines, ["phi", *(curve.name for curve in curves)], left=[0])
    return _written(args, outputs, content, transfer=draw_transfer(curves, metric))


@analyze.command("levels", cls=Command, short_help="which of several factors counts")
@click.argument("frontier", type=FRONTIER, help="results of a factor per level, or their folder")
@click.option(
    "--common", type=FRONTIER, metavar="FRONTIER", help="results of one factor for all levels, to stand beside"
)
@click.option("--floor", type=float, metavar="SCORE", help="settings with a worse score are grey in the heat maps")
@_output_option
@overwrite_option
def levels(args: Arguments) -> int:
    """Show which level's factor counts, from results of `pareto` with a factor per level.

    Heat maps of the score over pairs of factors, the score against operations, and how much of the score each factor
    moves.
    """
    outputs = _outputs(args, "levels", "levels_map", "levels_cost")
    from monai_hyperscale.analysis import draw_level_costs, draw_level_map, factor_influence, gains_at_cost
    from monai_hyperscale.search.results import phi_name, read_frontier

    frontier = read_frontier(args.frontier)
    influence = factor_influence(frontier)
    common = None if args.common is None else read_frontier(args.common)
    gains = [] if common is None else gains_at_cost(frontier, common)
    metric = frontier.metric["name"]
    lines = [
        [
            str(factor.level),
            f"{factor.values[0]:g} - {factor.values[-1]:g}",
            str(factor.settings),
            _figures(factor.change, ".4f"),
            _figures(factor.rise, "+.4f"),
            _figures(factor.best, "g"),
        ]
        for factor in influence
    ]
    print(f"{metric} as one factor goes over its range and the others stay, mean over settings of the others")
    print_table(lines, ["level", "range", "settings", "change", "least to greatest", "best"], left=[0])
    known = [factor for factor in influence if factor.change is not None]
    if known:
        most = max(known, key=lambda factor: factor.change or 0.0)
        print(f"\nThe factor of level {most.level} has the most influence.")
    if gains:
        print(f"\n{metric} of one factor for all levels, and of the best factors per level that cost no more")
        lines = [
            [
                f"{gain.flops / 1e9:.4g}",
                f"{gain.phi:g}",
                _figures(gain.common, ".4f"),
                _figures(gain.separate, ".4f"),
                "" if gain.separate is None else f"{gain.separate - gain.common:+.4f}",
                "" if gain.factors is None else phi_name(gain.factors),
            ]
            for gain in gains
        ]
        print_table(lines, ["GFLOPs", "phi", "one", "per level", "difference", "factors"], left=[0])
    content = {
        "bundle": frontier.bundle["name"],
        "weights_sha256": frontier.bundle["weights_sha256"],
        "data": dict(frontier.data),
        "common": None if common is None else {"bundle": dict(common.bundle), "data": dict(common.data)},
        "floor": args.floor,
        "machine": dict(frontier.machine),
        "metric": frontier.metric,
        "influence": [asdict(factor) for factor in influence],
        "pareto": [
            {"phi": list(row.phi), "flops": row.flops, "score": row.score.mean}
            for row in (frontier.rows[index] for index in frontier.pareto["flops"])
        ],
        "at_the_cost_of_one_factor": [asdict(gain) for gain in gains],
    }
    level_map, costs = draw_level_map(frontier, args.floor), draw_level_costs(frontier, common)
    return _written(args, outputs, content, levels_map=level_map, levels_cost=costs)


def _single(grid: Optional[str], option: str) -> Optional[list[float]]:
    """Read a grid of one factor each."""
    from monai_hyperscale.errors import PhiError
    from monai_hyperscale.search import phi_grid

    found = [] if grid is None else phi_grid(grid)
    if any(len(phi) > 1 for phi in found):
        raise PhiError(f"{option} of transfer is one factor for all levels, got {grid!r}.")
    return [phi[0] for phi in found] or None


def _outputs(args: Arguments, name: str, *figures: str) -> list[Path]:
    """Return the files to write, the JSON file first, once it is known that they can be."""
    names = [f"{name}.json", *(f"{figure}{suffix}" for figure in figures for suffix in (".png", ".svg"))]
    return check_folder("--output", args.output, names, args.overwrite)


def _written(args: Arguments, outputs: list[Path], content: Mapping[str, Any], **figures: Figure) -> int:
    import torch

    from monai_hyperscale import __version__
    from monai_hyperscale.analysis import save_figure
    from monai_hyperscale.search.timing import describe_machine

    # What was scored names its own device.
    machine = {"machine": describe_machine(torch.device("cpu")), **content}
    whole = {"monai_hyperscale": __version__, "command": command_line(args), **machine}
    text = json.dumps(whole, indent=1, allow_nan=False)
    with written_together(outputs) as temporaries:
        for path, temporary in zip(outputs, temporaries, strict=True):
            if path.suffix == ".json":
                temporary.write_text(text + "\n", encoding="utf-8")
            else:
                save_figure(figures[path.stem], temporary)
    say(f"wrote {', '.join(map(str, outputs))}")
    return DONE


def _figures(value: Optional[float], form: str = ".3g") -> str:
    return "–" if value is None else format(value, form)
