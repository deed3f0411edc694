"""A budget answered by measuring at most 25 φ, against the best of the full grid.

    python benchmarks/budget.py --dataset_dir ../shared/data/Task04_Hippocampus
    python benchmarks/budget.py --levels_bundle levels

One φ: the shipped segmentation bundle, 51 values of φ, a few of its test cases; without --dataset_dir it is left out.
Three factors: a small 2D network with one factor per level on synthetic anatomy, an 11 x 11 x 11 grid; unless a bundle
is named, one is trained first, which takes a few minutes, and kept beside the JSON file. Every φ of a grid is measured
once; then the budgets are answered by looking up what a sampler asks for, for several seeds. Cost is in operations,
which are exact.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.report import table, write_json
from monai_hyperscale.bundle import default_bundle
from monai_hyperscale.search import (
    FrontierRow,
    Limit,
    Objective,
    RowMeasurer,
    SweepOptions,
    Workload,
    choose,
    open_workload,
    phi_grid,
    search_phi,
)

__all__ = ["budgets", "gap", "main", "measured_grid", "train_levels"]

HEADER = ("network", "φ", "budget", "grid's best", "sampler", "measured", "gap %, median", "gap %, worst")
SAMPLERS = ("tpe", "random")
Budget = tuple[list[Limit], Objective]


def budgets(rows: Sequence[FrontierRow]) -> list[Budget]:
    """Return budgets of both kinds, two tight and two loose ones.

    The least operations for a score that is 1 or 3 points below the best; the best score for operations a quarter or
    half of the way from the least to the most.
    """
    best = max(row.score.mean for row in rows if row.score.mean is not None)
    flops = [row.flops for row in rows if row.flops is not None]
    found: list[Budget] = []
    for points in (1, 3):
        bound = best - points / 100
        found.append(([Limit("score", bound, False, f"Dice >= {bound:.4f}")], Objective("flops", True)))
    for share in (0.25, 0.5):
        bound = min(flops) + share * (max(flops) - min(flops))
        found.append(([Limit("flops", bound, True, f"FLOPs <= {bound / 1e9:.4g} G")], Objective("score", False)))
    return found


def gap(found: Sequence[FrontierRow], rows: Sequence[FrontierRow], budget: Budget) -> float:
    """Return by how many percent what was found is worse than the best of all; infinity where it meets no limit."""
    limits, objective = budget
    wanted, chosen = (choose(among, limits, objective) for among in (rows, found))
    if not chosen.met:
        return float("inf")
    a, b = (_value(choice.row, objective) for choice in (wanted, chosen))
    return 100 * abs(b - a) / a


def measured_grid(workload: Workload, text: str) -> dict[tuple[float, ...], FrontierRow]:
    """Measure every φ of a grid; the intervals, which nothing here needs, from few samples."""
    from tqdm import tqdm

    measure = RowMeasurer(workload, SweepOptions(rounds=0, memory=False, bootstrap=10))
    grid = phi_grid(text)
    workload.check_phi(grid)
    return {phi: measure(phi) for phi in tqdm(grid, unit="phi", file=sys.stderr)}


def train_levels(folder: Path, epochs: int = 20) -> Path:
    """Train a small 2D network with three factors on synthetic anatomy, by the bundle; return its folder."""
    configs = default_bundle() / "configs"
    files = [str(configs / name) for name in ("train.json", "images.json")]
    options = {
        "output_dir": str(folder),
        "per_level": "True",
        "network": "{'features': [8, 16, 16, 16], 'norm': 'group'}",
        "max_epochs": str(epochs),
        "val_interval": str(epochs),
        "val_phi": "[0.5]",
        "iterations_per_epoch": "40",
        "num_workers": "0",
        "synthetic": "{'cases': 60, 'size': 48}",
    }
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files)]
    for name, value in options.items():
        command += [f"--{name}", value]
    print(f"training a network with one factor per level in {folder} …", file=sys.stderr, flush=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"the training failed: {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
    return folder


def answered(
    name: str, rows: dict[tuple[float, ...], FrontierRow], evaluations: int, seeds: int
) -> list[dict[str, Any]]:
    """Return how near samplers come to the best of a grid, for every budget."""
    grid, every = list(rows), list(rows.values())
    flops = {phi: float(row.flops or 0) for phi, row in rows.items()}
    results = []
    for limits, objective in budgets(every):
        best = choose(every, limits, objective).row
        for sampler in SAMPLERS:
            gaps, counts = [], []
            for seed in range(seeds):
                found = search_phi(
                    rows.__getitem__, grid, limits, objective, sampler, evaluations, seed, flops.__getitem__
                )
                gaps.append(gap(found, every, (limits, objective)))
                counts.append(len(found))
            results.append(
                {
                    "network": name,
                    "grid": len(grid),
                    "budget": limits[0].text,
                    "best": _value(best, objective),
                    "best_phi": list(best.phi),
                    "sampler": sampler,
                    "measured": max(counts),
                    "gap_percent": gaps,
                }
            )
    return results


def _value(row: FrontierRow, objective: Objective) -> float:
    value = row.score.mean if objective.quantity == "score" else row.cost(objective.quantity)
    assert value is not None
    return value


def _cells(row: dict[str, Any]) -> list[str]:
    best = f"{row['best']:.4f}" if row["best"] < 2 else f"{row['best'] / 1e9:.4g} GFLOPs"
    gaps = row["gap_percent"]
    ends = (statistics.median(gaps), max(gaps))
    return [
        row["network"],
        str(row["grid"]),
        row["budget"],
        f"{best} at {','.join(f'{factor:g}' for factor in row['best_phi'])}",
        row["sampler"],
        str(row["measured"]),
        *(f"{value:.2f}" for value in ends),
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="of one φ (default: sshn_seg)")
    parser.add_argument("--dataset_dir", type=Path, help="its data; left out where none is named")
    parser.add_argument("--grid", default="0:0.5:0.01", help="of one φ (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=5, help="of that data (default: %(default)s)")
    parser.add_argument("--levels_bundle", type=Path, help="trained with --per_level True on synthetic anatomy")
    parser.add_argument(
        "--levels_grid", default="x".join(["0:0.5:0.05"] * 3), help="of the factors (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=20, help="of that training, where none is named")
    parser.add_argument("--evaluations", type=int, default=25, help="at most (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="answers to each budget (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "budget.json"))
    options = parser.parse_args(arguments)
    rows = []
    if options.dataset_dir is not None:
        try:
            one = open_workload(options.bundle or default_bundle(), options.dataset_dir, "test", limit=options.cases)
        except ValueError as error:
            parser.error(str(error))
        grid = measured_grid(one, options.grid)
        rows += answered(f"{one.title}, one φ", grid, options.evaluations, options.seeds)
    folder = options.levels_bundle or options.json.parent / "budget_levels"
    if options.levels_bundle is None and not (folder / "models" / "model.pt").is_file():
        train_levels(folder, options.epochs)
    try:
        levels = open_workload(folder, folder / "synthetic_data", "test")
    except ValueError as error:
        parser.error(str(error))
    grid = measured_grid(levels, options.levels_grid)
    rows += answered("synthetic anatomy, per level", grid, options.evaluations, options.seeds)
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, torch.device("cpu"), vars(options), rows)
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
