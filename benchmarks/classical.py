"""A trained registration bundle against ANTs' symmetric diffeomorphic method: Dice and seconds on unseen pairs.

    pip install antspyx
    python benchmarks/classical.py --dataset_dir ../shared/data/Task04_Hippocampus --threads 1

The pairs are of cases that the bundle names as its test cases, which no training saw. Every pair goes through ANTs and
through the network folded at each φ, one right after the other and on the same threads, so that the ratio of times is
one of the same machine in the same state. Preprocessing, the same for both, is left out of the times; what makes the
field is in them, warping is not. Without antspyx the network is measured by itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.options import chosen_device
from benchmarks.pairs import collated
from benchmarks.report import table, write_json
from monai_hyperscale.bundle import build_network, read_settings
from monai_hyperscale.inference.inferers import PRECISIONS, PhiInferer
from monai_hyperscale.io import load_weights
from monai_hyperscale.networks.layers import CPUConvolutions
from monai_hyperscale.registration import folded_share, warp
from monai_hyperscale.search import METRICS
from monai_hyperscale.search.statistics import case_score
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import registration_preprocessing
from monai_hyperscale.tasks.registration.pairs import PairList
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.training_data import PairDataset

__all__ = ["main", "overlap", "unseen_pairs"]

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "sshn_reg"
HEADER = ("method", "φ", "Dice before", "Dice", "± SEM", "folded %", "ms", "ANTs ÷ ours")

#: Displacement field of a pair, (1, 3, *sizes) in voxels, and seconds; label maps for those that warp by themselves.
Method = Callable[[dict[str, torch.Tensor]], tuple[Any, float]]


def unseen_pairs(folder: Path, settings: RegistrationSettings, count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Return pairs of the test cases that a bundle names, as batches of one.

    Raises:
        ValueError: if the folder does not hold them.
    """
    images = read_pairs(folder)
    named = set(settings.provenance.get("cases", {}).get("test", ()))
    cases = [case for case in images.cases if case["name"] in named]
    if len(cases) < 2:
        raise ValueError(
            f"{folder} holds {len(cases)} of the {len(named)} test cases of the bundle; name its data set."
        )
    pairs = PairList(cases).sample(count, seed)
    preprocessing = registration_preprocessing(
        images.channels, settings.spatial_dims, settings.sizes, label_values=images.label_values
    )
    dataset = PairDataset(pairs, preprocessing)
    return [collated([dataset[index]]) for index in range(len(dataset))]


def overlap(moved: torch.Tensor, fixed: torch.Tensor) -> float:
    """Return the mean Dice of the labels above 0 in the fixed map, as results have it."""
    values = [int(value) for value in fixed.unique() if value > 0]
    return case_score(METRICS["dice"](moved[0].round().long(), fixed[0].long(), values)) or 0.0


def ants_method(transform: str, metric: str) -> Optional[Method]:
    """Return ANTs' registration, or ``None`` where antspyx is not installed.

    Args:
        transform: ``type_of_transform`` of antspyx.
        metric: ``mattes`` with what antspyx does by itself, or ``CC`` in windows of 5³ voxels.
    """
    try:
        import ants
    except ImportError:
        return None

    def run(pair: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
        image = {key: ants.from_numpy(pair[key][0, 0].numpy()) for key in ("moving", "fixed")}
        label = ants.from_numpy(pair["moving_label"][0, 0].numpy())
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found = ants.registration(
                image["fixed"],
                image["moving"],
                type_of_transform=transform,
                syn_metric=metric,
                syn_sampling=2 if metric == "CC" else 32,  # the radius of its windows; bins of the histogram
                outprefix=os.path.join(folder, "pair"),
            )
            seconds = time.perf_counter() - started
            moved = ants.apply_transforms(
                image["fixed"], label, found["fwdtransforms"], interpolator="nearestNeighbor"
            ).numpy()
        return torch.from_numpy(np.asarray(moved))[None, None], seconds

    return run


def network_method(network: torch.nn.Module, device: torch.device, precision: str) -> Method:
    """Return a folded network as a method."""
    autocast = PhiInferer(precision=precision).autocast

    def run(pair: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
        with torch.inference_mode():
            started = time.perf_counter()
            images = torch.cat([pair["moving"], pair["fixed"]], dim=1).to(device)
            with autocast(images), CPUConvolutions():
                field = network(images.contiguous(memory_format=torch.channels_last_3d)).cpu()
            return field, time.perf_counter() - started

    return run


def contest(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure every method on every pair, and return a row for each."""
    settings = read_settings(options.bundle / "models" / "model.json", RegistrationSettings)
    network = build_network(settings)
    network.load_state_dict(load_weights(options.bundle / "models" / "model.pt"))
    methods: dict[str, Method] = {}
    for metric in options.metrics:
        classical = ants_method(options.transform, metric)
        if classical is not None:
            methods[f"ANTs {metric}"] = classical
    for phi in options.phi:
        methods[f"{phi:g}"] = network_method(network.fold(phi).to(device), device, options.precision)
    pairs = unseen_pairs(options.dataset_dir, settings, options.pairs, options.seed)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for run in methods.values():
        run(pairs[0])  # warm-up
    for pair in pairs:
        before = overlap(pair["moving_label"], pair["fixed_label"])
        for name, run in methods.items():
            result, seconds = run(pair)
            is_field = result.shape[1] == settings.spatial_dims
            moved = warp(pair["moving_label"], result, mode="nearest") if is_field else result
            folded = folded_share(result).item() if is_field else float("nan")
            dice = overlap(moved, pair["fixed_label"])
            found[name].append({"before": before, "dice": dice, "folded": folded, "seconds": seconds})
    theirs = [results for name, results in found.items() if name.startswith("ANTs")]
    rows = []
    for name, results in found.items():
        scores = [result["dice"] for result in results]
        row: dict[str, Any] = {"method": name if name.startswith("ANTs") else "ours", "pairs": len(results)}
        row["phi"] = None if name.startswith("ANTs") else float(name)
        row["dice_before"] = statistics.fmean(result["before"] for result in results)
        row["dice"] = statistics.fmean(scores)
        row["sem"] = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
        row["folded"] = statistics.fmean(result["folded"] for result in results)
        row["seconds"] = statistics.median(result["seconds"] for result in results)
        row["times_faster"] = []
        for other in theirs if row["phi"] is not None else ():
            paired = zip(other, results, strict=True)
            row["times_faster"].append(statistics.median(a["seconds"] / b["seconds"] for a, b in paired))
        row["dice_per_pair"] = [round(score, 5) for score in scores]
        rows.append(row)
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["method"],
        "" if row["phi"] is None else f"{row['phi']:g}",
        f"{row['dice_before']:.4f}",
        f"{row['dice']:.4f}",
        f"{row['sem']:.4f}",
        "" if row["phi"] is None else f"{100 * row['folded']:.4f}",
        f"{1e3 * row['seconds']:.0f}",
        ", ".join(f"{times:.1f}" for times in row["times_faster"]),
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="trained bundle (default: sshn_reg)")
    parser.add_argument("--dataset_dir", type=Path, required=True, help="folder that holds its test cases")
    parser.add_argument("--pairs", type=int, default=40, help="how many to measure (default: %(default)s)")
    parser.add_argument("--phi", type=float, nargs="+", default=(0.5, 0.25, 0.1, 0.05), help="to fold at")
    parser.add_argument(
        "--transform",
        default="SyNOnly",
        help="type_of_transform of antspyx: SyNOnly, or SyN with an affine part before it",
    )
    parser.add_argument(
        "--metrics", nargs="+", choices=("mattes", "CC"), default=("mattes", "CC"), help="of ANTs (default: both)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network (default: fp32)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw of pairs (default: %(default)s)")
    parser.add_argument("--device", help="of the network: cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads of both (default: torch's choice, one per core)")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "classical.json"))
    options = parser.parse_args(arguments)
    if options.threads is not None:
        os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(options.threads)  # read when ants is imported
    device = chosen_device(parser, options)
    try:
        rows = contest(options, device)
    except ValueError as error:
        parser.error(str(error))
    print(table(HEADER, [_cells(row) for row in rows]))
    if not any(row["method"].startswith("ANTs") for row in rows):
        print("\nantspyx is not installed: no classical method was measured.", file=sys.stderr)
    write_json(options.json, device, vars(options), rows)
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
