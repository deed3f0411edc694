"""What a wide prior of φ does for the score at φ = 0.5 (SSHN section 5.2, Figure 8), on white blood cells.

    python benchmarks/prior_width.py --dataset ../shared/data/wbc -o runs/benchmarks/prior_width.json

SSHN is trained with φ from U(0.5 − r, 0.5 + r) for several r, and measured at φ = 0.5 alone, beside a Fixed network.
With r = 0 it is a Fixed network whose weights come from a generator, which tells what the generator itself does. The
SSHN is the one that is trained on all φ at once (`joint` in variants.py): of the best one the weights at φ = 0.5 are
those of a Fixed network whatever the prior is. Images, their order and steps are those of one_against_many.py. Finished
runs are kept in the JSON file, so the same command continues where it was stopped; the figure lies beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.one_against_many import measure, same_recipe
from benchmarks.report import table
from benchmarks.variants import VARIANTS
from benchmarks.wbc import Recipe, load_images
from monai_hyperscale.analysis import save_figure
from monai_hyperscale.analysis.figures import BLUE, COLOURS, drawing, tidy
from monai_hyperscale.io import replacing, write_text

__all__ = ["Scores", "draw", "main", "recipes", "scores"]

PHI = 0.5
RADII = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
# A recipe's range ends at 0.5, but it takes a list of φ: so many, evenly spread, stand for the interval.
VALUES = 201
HEADER = ("network", "2r", "test Dice", "± over seeds", "− Fixed, points", "±", "training Dice", "seeds")


@dataclasses.dataclass(frozen=True)
class Scores:
    """Dice at φ = 0.5 of one prior, a value per seed.

    Attributes:
        radius: r; ``None`` for Fixed.
        test: on the test images, by seed.
        training: on the training images, by seed.
    """

    radius: Optional[float]
    test: Mapping[int, float]
    training: Mapping[int, float]


def recipes(radii: Sequence[float], seeds: Sequence[int], steps: int) -> dict[str, tuple[Recipe, int]]:
    """Return recipe and seed by the name of the run: for every seed Fixed, and SSHN for every r.

    Example:
        >>> sorted(recipes([0.1], [0], 600))
        ['fixed, seed 0', 'r = 0.1, seed 0']
        >>> recipe, _ = recipes([0.1], [0], 600)["r = 0.1, seed 0"]
        >>> min(recipe.choices), max(recipe.choices), recipe.steps
        (0.4, 0.6, 600)
    """
    found = {}
    for seed in seeds:
        found[f"fixed, seed {seed}"] = (Recipe(method="fixed", phi=PHI, steps=steps), seed)
        for radius in radii:
            low, high = max(0.0, PHI - radius), min(1.0, PHI + radius)
            spread = tuple(round(low + (high - low) * place / (VALUES - 1), 9) for place in range(VALUES))
            choices = spread if radius > 0 else (PHI,)
            found[f"r = {radius:g}, seed {seed}"] = (
                dataclasses.replace(VARIANTS["joint"], choices=choices, steps=steps),
                seed,
            )
    return found


def scores(results: Mapping[str, Mapping[str, Any]]) -> list[Scores]:
    """Return the scores of Fixed and then of every r, in order, from the content of the JSON file."""
    by_radius: dict[Optional[float], tuple[dict[int, float], dict[int, float]]] = {}
    for name, result in results.items():
        network = name.rpartition(", seed")[0]
        radius = None if network == "fixed" else float(network.removeprefix("r = "))
        test, training = by_radius.setdefault(radius, ({}, {}))
        test[result["seed"]] = result["dice"][f"{PHI:g}"]
        training[result["seed"]] = result["training_dice"][f"{PHI:g}"]
    order = sorted(by_radius, key=lambda radius: -1.0 if radius is None else radius)
    return [Scores(radius, *by_radius[radius]) for radius in order]


def draw(found: Sequence[Scores]) -> Figure:
    """Draw the Dice on test and training images against 2r, with the standard deviation over seeds; Fixed as a line."""
    with drawing(4.5, 3.0) as figure:
        axes = figure.subplots()
        kinds = (("test", BLUE), ("training", COLOURS[4]))
        for kind, colour in kinds:
            ours = [(2 * one.radius, _spread(getattr(one, kind))) for one in found if one.radius is not None]
            if ours:
                x = [width for width, _ in ours]
                means, spreads = [mean for _, (mean, _) in ours], [spread for _, (_, spread) in ours]
                axes.plot(x, means, ".-", color=colour, linewidth=1.0, label=f"SSHN, {kind} images")
                axes.fill_between(x, *_band(means, spreads), color=colour, alpha=0.15, linewidth=0)
            for one in found:
                if one.radius is None:
                    mean, spread = _spread(getattr(one, kind))
                    axes.axhline(mean, color=colour, linewidth=1.0, linestyle="--", label=f"Fixed, {kind} images")
                    axes.axhspan(mean - spread, mean + spread, color=colour, alpha=0.08, linewidth=0)
        tidy(axes, "width of the prior of φ, 2r", "Dice at φ = 0.5", grid="both")
        axes.legend()
    return figure


def _band(means: Sequence[float], spreads: Sequence[float]) -> tuple[list[float], list[float]]:
    pairs = list(zip(means, spreads, strict=True))
    return [mean - spread for mean, spread in pairs], [mean + spread for mean, spread in pairs]


def _spread(values: Mapping[int, float]) -> tuple[float, float]:
    numbers = list(values.values())
    return statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else 0.0


def cells(one: Scores, fixed: Optional[Scores]) -> list[str]:
    """Return a line of the table; the difference to Fixed is paired by seed."""
    (test, spread), (training, _) = _spread(one.test), _spread(one.training)
    pairs = (
        [100 * (value - fixed.test[seed]) for seed, value in one.test.items() if seed in fixed.test] if fixed else []
    )
    ours = one.radius is not None
    return [
        "SSHN" if ours else "Fixed",
        f"{2 * one.radius:g}" if one.radius is not None else "",
        f"{test:.4f}",
        f"{spread:.4f}" if len(one.test) > 1 else "",
        f"{statistics.fmean(pairs):+.2f}" if ours and pairs else "",
        f"{statistics.stdev(pairs):.2f}" if ours and len(pairs) > 1 else "",
        f"{training:.4f}",
        str(len(one.test)),
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Train what is missing, print the table, write the JSON file and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with d1_120 and d2_300")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file, continued if it exists")
    parser.add_argument("--radii", nargs="+", type=float, default=RADII, help="default: %(default)s")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=600, help="of every network; default: %(default)s")
    parser.add_argument("--threads", type=int, help="of torch")
    args = parser.parse_args(arguments)
    if args.steps < 1 or not all(0 <= radius <= 0.5 for radius in args.radii):
        parser.error("--steps must be at least 1 and --radii from 0 to 0.5")
    if args.threads:
        torch.set_num_threads(args.threads)
    results = json.loads(args.output.read_text(encoding="utf-8")) if args.output.exists() else {}
    wanted = recipes(args.radii, args.seeds, args.steps)
    for name, (recipe, _) in wanted.items():
        if name in results and not same_recipe(results[name]["recipe"], recipe):
            parser.error(f"{args.output} holds {name} of another recipe or number of steps; name another file")
    todo = {name: run for name, run in wanted.items() if name not in results}
    images = load_images(args.dataset) if todo else {}
    for name, (recipe, seed) in (progress := tqdm(todo.items())):
        progress.set_description(name)
        results[name] = measure(recipe, "test", seed, images, [PHI])
        write_text(args.output, json.dumps(results, indent=1) + "\n")
    found = scores(results)
    fixed = next((one for one in found if one.radius is None), None)
    print(table(HEADER, [cells(one, fixed) for one in found]))
    figure = draw(found)
    for suffix in (".png", ".svg"):
        with replacing(args.output.with_suffix(suffix)) as temporary:
            save_figure(figure, temporary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
