"""VoxelMorph's own network against ours folded at φ = 0.5: Dice on unseen pairs, time per pair, any size.

    python benchmarks/registration.py --dataset_dir ../shared/data/Task04_Hippocampus --sizes 48 64 48
    python benchmarks/registration.py                     # synthetic pairs

``VxmPairwise`` of the package voxelmorph and our networks have the same convolutions: one per stage, all of as many
features, a 1×1 convolution to as many channels as axes and the flow convolution. They learn from the same pairs in the
same order, with the same loss, optimiser and number of steps. ``ours`` is a hypernetwork that learns φ = 0.5 in these
steps, and in half as many more what differs at other φ, which leaves φ = 0.5 as it is; ``ours, joint`` draws φ from
the first step on and has no more. Times are taken in turn, see ``timing.py``, of the field by itself.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import torch
import torch.nn as nn
from monai.utils import set_determinism
from tqdm import trange
from voxelmorph.nn.models import VxmPairwise

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.options import chosen_device
from benchmarks.pairs import Batch, Pairs, collated, folder_pairs, synthetic_pairs
from benchmarks.report import table, write_json
from benchmarks.timing import interleaved, ratios, spread
from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.losses import SIMILARITIES, SMOOTHNESS, RegistrationLoss
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.registration import PlainRegistration, RegistrationNetwork, folded_share, warp
from monai_hyperscale.search import METRICS
from monai_hyperscale.search.statistics import case_score
from monai_hyperscale.training import UniformPhi

__all__ = ["Voxelmorph", "main", "ours", "train"]

VOXELMORPH = "VxmPairwise"
CONTESTANTS = (VOXELMORPH, "ours", "ours, joint")
ODD_SIZES = (47, 61, 43)
HEADER = (
    "network",
    "φ",
    "parameters",
    "Dice before",
    "Dice",
    "folded %",
    "ms",
    "quartiles",
    "÷ VxmPairwise",
    "47×61×43",
)


class Voxelmorph(nn.Module):
    """VoxelMorph's network with the interface of ours: both images as channels of one tensor.

    Args:
        features: channels of the encoder stages; the stage at the bottom repeats the last.
        integration_steps: 0 for displacement.
    """

    def __init__(self, features: Sequence[int], integration_steps: int) -> None:
        super().__init__()
        self.network = VxmPairwise(3, 1, 1, nb_features=list(features), integration_steps=integration_steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, 2, *sizes) to the displacement field (B, 3, *sizes)."""
        return self.network(*x.chunk(2, dim=1))


def ours(
    features: Sequence[int],
    integration_steps: int,
    norm: Optional[str] = None,
    generator: str = "constant",
    start: Optional[PlainRegistration] = None,
    **options: Any,
) -> HyperNetwork:
    """Return our network with the same convolutions.

    Args:
        features: as for :class:`Voxelmorph`.
        integration_steps: 0 for displacement.
        norm: of the U-Net; VoxelMorph's has none.
        generator: name of the weight generator; ``constant`` for one network.
        start: a fold whose weights to start from.
        options: of the generator.
    """
    unet = ScaleSpaceUNet(3, 2, 3, (*features, features[-1]), convolutions=1, norm=norm)
    primary = RegistrationNetwork(unet, 3, integration_steps)
    if start is not None:
        unet.body.load_state_dict(start.backbone.state_dict())
        primary.head.load_state_dict(start.head.state_dict())
    return HyperNetwork(primary, build_generator(generator, **options), "convolutions+norms")


def train(
    network: nn.Module,
    draw_phi: Optional[Callable[[int], float]],
    pairs: Pairs,
    loss: RegistrationLoss,
    options: argparse.Namespace,
    steps: int,
    learning_rate: float,
    device: torch.device,
    title: str,
) -> None:
    """Train a network in place.

    Args:
        network: what to train.
        draw_phi: φ of a step by its number, from 1; ``None`` for networks that know no φ.
        pairs: to draw from; the same draw for the same seed.
        loss: of the field.
        options: ``batch_size`` and ``seed``.
        steps: of the optimiser.
        learning_rate: peak, after 5 % of warm-up steps and before a cosine down to zero.
        device: where.
        title: for the progress bar.
    """
    network.to(device).train()
    draws = torch.Generator().manual_seed(options.seed)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=learning_rate, betas=(0.9, 0.99))
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * k / steps))
    )
    for step in (progress := trange(1, steps + 1, desc=title, disable=None)):
        batch = {key: value.to(device) for key, value in pairs.draw(options.batch_size, draws).items()}
        optimizer.zero_grad()
        field = network(_images(batch), **({} if draw_phi is None else {"phi": draw_phi(step)}))
        value = loss(field, batch)
        value.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{value.item():.5f}")


def measure(plain: Callable[[torch.Tensor], torch.Tensor], pairs: Pairs, device: torch.device) -> dict[str, Any]:
    """Return Dice before and after over the foreground classes, per pair, and the share of folded voxels."""
    labels, folded = range(1, pairs.classes), []
    per_pair: dict[str, list[float]] = {"before": [], "after": []}
    with torch.no_grad():
        for sample in pairs.test:
            batch = {key: value.to(device) for key, value in collated([sample]).items()}
            field = plain(_images(batch))
            folded.append(folded_share(field).item())
            moving, fixed = (batch[f"{which}_label"].long() for which in ("moving", "fixed"))
            moved = warp(moving.float(), field, mode="nearest").round().long()
            for name, label in (("before", moving), ("after", moved)):
                per_pair[name].append(case_score(METRICS["dice"](label[0], fixed[0], labels)) or 0.0)
    return {
        "dice_before": statistics.fmean(per_pair["before"]),
        "dice": statistics.fmean(per_pair["after"]),
        "dice_per_pair": [round(value, 5) for value in per_pair["after"]],
        "folded": statistics.fmean(folded),
    }


def runs_on(plain: Callable[[torch.Tensor], torch.Tensor], sizes: Sequence[int], device: torch.device) -> str:
    """Return ``runs``, or what a network raises on images of these sizes."""
    try:
        with torch.no_grad():
            field = plain(torch.rand(1, 2, *sizes, device=device))
    except RuntimeError as error:
        return f"raises: {str(error).splitlines()[0]}"
    return "runs" if list(field.shape[2:]) == list(sizes) else f"returns {list(field.shape[2:])}"


def _images(batch: Batch) -> torch.Tensor:
    return torch.cat([batch["moving"], batch["fixed"]], dim=1)


def contest(options: argparse.Namespace, pairs: Pairs, device: torch.device) -> list[dict[str, Any]]:
    """Train and measure every contestant, and return a row for each and φ."""
    loss = RegistrationLoss(
        options.similarity, options.smoothness, options.weight, options.dice_weight, classes=pairs.classes
    )
    plain: dict[tuple[str, Optional[float]], nn.Module] = {}
    rows: list[dict[str, Any]] = []
    for name in options.contestants:
        set_determinism(options.seed)
        started = time.perf_counter()
        if name == VOXELMORPH:
            theirs = Voxelmorph(options.features, options.integration_steps)
            train(theirs, None, pairs, loss, options, options.steps, options.rate, device, name)
            plain[name, None] = theirs.eval()
        else:
            network = _ours_trained(name, options, pairs, loss, device)
            plain |= {(name, phi): network.fold(phi) for phi in options.phis}
        seconds = time.perf_counter() - started
        for (who, phi), folded in plain.items():
            if who == name:
                parameters = sum(parameter.numel() for parameter in folded.parameters())
                row = {"network": name, "phi": phi, "parameters": parameters, "training_seconds": seconds}
                rows.append(row | measure(folded, pairs, device) | {"odd_sizes": runs_on(folded, ODD_SIZES, device)})
    images = _images({key: value.to(device) for key, value in collated(pairs.test[:1]).items()})
    with torch.no_grad():
        programs = {str(key): _program(network, images) for key, network in plain.items()}
        times = interleaved(programs, options.rounds, device)
    for row in rows:
        seconds = times[str((row["network"], row["phi"]))]
        row["seconds"] = asdict(spread(seconds))
        reference = times.get(str((VOXELMORPH, None)))
        row["ratio"] = None if reference is None else asdict(ratios(seconds, reference))
    return rows


def _ours_trained(
    name: str, options: argparse.Namespace, pairs: Pairs, loss: RegistrationLoss, device: torch.device
) -> HyperNetwork:
    rate = options.our_rate if options.our_rate is not None else options.rate
    shape = options.features, options.integration_steps, options.norm
    if name == "ours, joint":
        network = ours(*shape, "mlp", head_scale=1.0)
        prior = UniformPhi(0.0, 0.5, seed=options.seed)
        train(network, _drawn(prior), pairs, loss, options, options.steps, rate, device, name)
        return network
    fixed = ours(*shape)
    train(fixed, lambda _: 0.5, pairs, loss, options, options.steps, rate, device, f"{name}, φ = 0.5")
    plain: Any = fixed.fold(0.5)
    # What did best on white blood cells: see README.md, One network against many.
    network = ours(*shape, "spline", plain.cpu(), anchors=(0.0, 0.1, 0.25, 0.5), head_scale=0.0, reference=0.5)
    generator: Any = network.generator
    generator.base.requires_grad_(False)
    prior = UniformPhi(0.0, 0.5, exponent=0.6, seed=options.seed)
    steps = options.steps // 2
    train(network, _drawn(prior), pairs, loss, options, steps, options.head_rate, device, f"{name}, other φ")
    return network


def _drawn(prior: UniformPhi) -> Callable[[int], float]:
    return lambda step: float(prior(step))  # type: ignore[arg-type]


def _program(network: nn.Module, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: network(images)


def _cells(row: dict[str, Any]) -> list[str]:
    seconds, ratio = row["seconds"], row["ratio"]
    return [
        row["network"],
        "" if row["phi"] is None else f"{row['phi']:g}",
        f"{row['parameters']:,}",
        f"{row['dice_before']:.4f}",
        f"{row['dice']:.4f}",
        f"{100 * row['folded']:.3f}",
        f"{1e3 * seconds['median']:.1f}",
        f"{1e3 * seconds['low']:.1f}–{1e3 * seconds['high']:.1f}",
        "" if ratio is None else f"{ratio['median']:.3f}",
        row["odd_sizes"],
    ]


def judged(rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether ours at φ = 0.5 is as accurate as VoxelMorph's and no slower, and runs on odd sizes."""
    theirs = next(row for row in rows if row["network"] == VOXELMORPH)
    mine = next(row for row in rows if row["network"] == "ours" and row["phi"] == 0.5)
    return mine["dice"] >= theirs["dice"] and mine["ratio"]["median"] <= 1.0 and mine["odd_sizes"] == "runs"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return 1 if ours is behind under ``--check``, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="folder of labelled volumes (default: synthetic pairs)")
    parser.add_argument("--sizes", type=int, nargs=3, help="voxels to pad or crop to, multiples of 2 to the stages")
    parser.add_argument("--size", type=int, default=48, help="of synthetic pairs (default: %(default)s)")
    parser.add_argument("--training_pairs", type=int, default=64, help="synthetic ones (default: %(default)s)")
    parser.add_argument("--test_pairs", type=int, default=40, help="to measure (default: %(default)s)")
    parser.add_argument("--training_cases", type=int, help="of the folder, at most (default: all of the split)")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS[:2])
    parser.add_argument("--features", type=int, nargs="+", default=(16, 16, 16, 16), help="of the encoder's stages")
    parser.add_argument("--integration_steps", type=int, default=0, help="default: %(default)s, displacement")
    parser.add_argument("--norm", choices=("group", "instance"), help="of ours (default: none, as VoxelMorph's)")
    parser.add_argument("--phis", type=float, nargs="+", default=(0.5, 0.25, 0.1), help="to fold ours at")
    parser.add_argument("--steps", type=int, default=2000, help="of each network (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (default: %(default)s)")
    parser.add_argument("--our_rate", type=float, help="that of ours, where it is another")
    parser.add_argument("--head_rate", type=float, default=3e-3, help="of what differs at other φ: %(default)s")
    parser.add_argument("--similarity", choices=SIMILARITIES, default="mse")
    parser.add_argument("--smoothness", choices=SMOOTHNESS, default="gradient")
    parser.add_argument("--weight", type=float, default=0.01, help="of the smoothness (default: %(default)s)")
    parser.add_argument("--dice_weight", type=float, default=0.0, help="semi-supervised (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=20, help="samples per network (default: %(default)s)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice, one per core)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if ours is less accurate or slower")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "registration.json"))
    options = parser.parse_args(arguments)
    if min(options.rounds, options.batch_size, options.test_pairs) < 1 or options.steps < 2:
        parser.error("--steps must be at least 2; --rounds, --batch_size and --test_pairs at least 1")
    if options.check and not ({VOXELMORPH, "ours"} <= set(options.contestants) and 0.5 in options.phis):
        parser.error(f"--check compares {VOXELMORPH} with ours at 0.5: leave both in")
    device = chosen_device(parser, options)
    if options.dataset_dir is None:
        pairs = synthetic_pairs(options.size, options.training_pairs, options.test_pairs, options.seed)
    else:
        pairs = folder_pairs(
            options.dataset_dir, options.sizes, options.test_pairs, options.seed, options.training_cases
        )
    print(f"{pairs.title}, {'×'.join(map(str, pairs.sizes))}, {len(pairs.test)} unseen pairs", file=sys.stderr)
    rows = contest(options, pairs, device)
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, device, vars(options), rows)
    print(f"\nwritten to {options.json}")
    return int(options.check and not judged(rows))


if __name__ == "__main__":
    sys.exit(main())
