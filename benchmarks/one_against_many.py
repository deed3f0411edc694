"""One network for every φ against one network for each: SSHN, Fixed, Stochastic and FiLM on white blood cells.

    python benchmarks/one_against_many.py --dataset ../shared/data/wbc -o gap.json

Every run shares the images, their order and the first weights of the U-Net. What serves every φ has the same number of
steps, 1.5 × that of a Fixed network, and draws the same φ. Finished runs are kept in the JSON file, so the same command
continues where it was stopped. ``--variants`` compares changes of SSHN instead, on the validation images; the methods
are compared on the test images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.report import describe_machine
from benchmarks.variants import BEST, VARIANTS
from benchmarks.wbc import METHODS, Images, Recipe, dice, load_images, train
from monai_hyperscale.io import write_text

PHIS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_FIXED = re.compile(r"fixed [\d.]+, seed ")
#: What the other methods that serve every φ have of SSHN's recipe: steps, prior, φ in a step.
SHARED: Any = {
    name: getattr(BEST, name) for name in ("step_factor", "low", "exponent", "phis_per_step", "learning_rate")
}


def runs(args: argparse.Namespace) -> dict[str, tuple[Recipe, str, int]]:
    """Return recipe, part of the images to measure on and seed, by the name of the run."""
    found = {}
    for seed in args.seeds:
        if args.variants is not None:
            for name in args.variants or VARIANTS:
                found[f"{name}, seed {seed}"] = (dataclasses.replace(VARIANTS[name], steps=args.steps), seed)
            continue
        for method in args.methods:
            if method == "fixed":
                for phi in args.phis:
                    recipe = Recipe(method="fixed", phi=phi, steps=args.steps)
                    found[f"fixed {phi:g}, seed {seed}"] = (recipe, seed)
            else:
                recipe = BEST if method == "sshn" else Recipe(method=method, **SHARED)
                found[f"{method}, seed {seed}"] = (dataclasses.replace(recipe, steps=args.steps), seed)
    part = args.part or ("test" if args.variants is None else "validation")
    return {name: (recipe, part, seed) for name, (recipe, seed) in found.items()}


def measure(recipe: Recipe, part: str, seed: int, images: Mapping[str, Images], phis: Sequence[float]) -> dict:
    """Train one network and return its Dice for every φ, with what it took."""
    started = time.perf_counter()
    network = train(recipe, images["train"], seed)
    seconds = time.perf_counter() - started
    where = [recipe.phi] if recipe.method == "fixed" else phis
    scores = dice(network, images[part], where)
    # What tells a network that cannot learn more from one that does not generalise.
    fitted = dice(network, images["train"], where)
    return {
        "recipe": dataclasses.asdict(recipe),
        "part": part,
        "seed": seed,
        "seconds": round(seconds, 1),
        "machine": describe_machine(torch.device("cpu")),
        "parameters": sum(p.numel() for p in network.parameters()),
        "dice": {f"{phi:g}": round(statistics.fmean(values), 5) for phi, values in scores.items()},
        "training_dice": {f"{phi:g}": round(statistics.fmean(values), 5) for phi, values in fitted.items()},
        "cases": {f"{phi:g}": [round(value, 4) for value in values] for phi, values in scores.items()},
    }


def same_recipe(stored: Mapping[str, Any], recipe: Recipe) -> bool:
    """Return whether a run in the JSON file was trained as ``recipe`` says."""
    return dict(stored) == json.loads(json.dumps(dataclasses.asdict(recipe)))


def table(results: Mapping[str, dict], phis: Sequence[float]) -> str:
    """Return the mean over seeds, and paired differences with their spread: to Fixed, and of SSHN to the others."""
    by_method: dict[str, dict[tuple[str, int], float]] = {}
    for name, result in results.items():
        # The Fixed networks of all φ are one line; what is tried of them has its own.
        method = "fixed" if _FIXED.match(name) else name.rpartition(", seed")[0]
        for phi, value in result["dice"].items():
            by_method.setdefault(method, {})[phi, result["seed"]] = value
    lines = ["method".ljust(34) + "".join(f"φ {phi:g}".rjust(10) for phi in phis) + "     mean"]
    for method, values in by_method.items():
        means = [_mean([v for (p, _), v in values.items() if p == f"{phi:g}"]) for phi in phis]
        lines.append(method.ljust(34) + "".join(_cell(mean, "10.4f") for mean in means) + _cell(_mean(means), "9.4f"))
        for other in ("fixed", "stochastic", "film") if method == "sshn" else ("fixed",):
            theirs = by_method.get(other, {})
            if other == method or not theirs:
                continue
            pairs = [
                [v - theirs[p, s] for (p, s), v in values.items() if p == f"{phi:g}" and (p, s) in theirs]
                for phi in phis
            ]
            lines.append(
                f"  − {other}, in points".ljust(34) + "".join(_cell(_points(pair), "+10.2f") for pair in pairs)
            )
            spread = [100 * statistics.stdev(pair) if len(pair) > 1 else None for pair in pairs]
            lines.append("  its standard deviation over seeds".ljust(34) + "".join(_cell(s, "10.2f") for s in spread))
    return "\n".join(lines)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _points(pair: Sequence[float]) -> float | None:
    return 100 * statistics.fmean(pair) if pair else None


def _cell(value: float | None, spec: str) -> str:
    width = int(spec.lstrip("+").split(".")[0])
    return "–".rjust(width) if value is None else format(value, spec)


def main() -> None:
    """Train what is missing, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, required=True, help="folder with d1_120 and d2_300")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file, continued if it exists")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--variants", nargs="*", choices=tuple(VARIANTS), help="of SSHN; without names, all of them")
    parser.add_argument("--part", choices=("validation", "test"), help="images to measure on; default: see above")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--phis", nargs="+", type=float, default=PHIS)
    parser.add_argument("--steps", type=int, default=600, help="of one fixed network; default: 600")
    parser.add_argument("--threads", type=int, help="of torch")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    results = json.loads(args.output.read_text(encoding="utf-8")) if args.output.exists() else {}
    wanted = runs(args)
    for name, (recipe, part, _) in wanted.items():
        if name not in results:
            continue
        if not same_recipe(results[name]["recipe"], recipe):
            parser.error(f"{args.output} holds {name} of another recipe or number of steps; name another file")
        phis = [recipe.phi] if recipe.method == "fixed" else args.phis
        if results[name]["part"] != part or not {f"{phi:g}" for phi in phis} <= set(results[name]["dice"]):
            parser.error(f"{args.output} holds {name} of other images or phi; name another file")
    todo = {name: run for name, run in wanted.items() if name not in results}
    images = load_images(args.dataset) if todo else {}
    for name, (recipe, part, seed) in (progress := tqdm(todo.items())):
        progress.set_description(name)
        results[name] = measure(recipe, part, seed, images, args.phis)
        write_text(args.output, json.dumps(results, indent=1) + "\n")
    print(table(results, args.phis))


if __name__ == "__main__":
    main()
