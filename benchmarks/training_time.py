"""Training time of one SSHN, which serves every φ, against a Fixed network for each of many φ (SSHN Table 3).

    python benchmarks/training_time.py --dataset_dir ../shared/data/Task04_Hippocampus
    python benchmarks/training_time.py --dataset_dir DIR --frontier 95 --rounds 10
    python benchmarks/training_time.py --configs bundles/sshn_reg/configs/{train,hippocampus}.json --dataset_dir DIR
    python benchmarks/training_time.py --configs TRAIN FIRST --configs TRAIN FIRST THEN --dataset_dir DIR

What is measured is a training step as the bundle's configuration makes it, by its own trainer: forward and backward
pass in its precision, clipping, optimiser, learning rate, averaged weights; on batches of the data set that are drawn
beforehand, since worker processes load while the network works, and without validation and checkpoints. One sample of
a method that draws φ goes through quantiles of the prior, evenly spread, so that a round has the prior's mean and not
the luck of a draw. All networks take turns in every round. Minutes are seconds per step times the configuration's
steps, the same for every network, as if each were trained to the end.
``--configs`` given again is a further training, which begins where the one before ended; all of them count, for all
networks. A ``teacher`` of the configuration works in every step too: for SSHN at ``teacher_phi``, for Fixed at its own
φ, as what taught a network that is trained alone is that network of before, or was trained alone for that φ as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Optional

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.options import chosen_device
from benchmarks.report import table, write_json
from benchmarks.timing import interleaved, spread
from monai_hyperscale.allocator import keep_freed_memory
from monai_hyperscale.errors import HyperscaleError
from monai_hyperscale.networks.layers.factor import Phi, as_factors
from monai_hyperscale.search import phi_grid
from monai_hyperscale.training import PhiPrior, PhiSampler
from monai_hyperscale.training.priors import Drawn

__all__ = ["SpreadPhi", "Training", "main", "minutes", "summary"]

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = [ROOT / "bundles" / "sshn_seg" / "configs" / name for name in ("train.json", "hippocampus.json")]
METHODS = ("sshn", "stochastic", "film")
HEADER = ("method", "φ", "parameters", "ms per step", "quartiles", "networks", "minutes", "÷ all Fixed", "quartiles")
#: What a step of the configuration does besides the trainer's own work; the rest reports, saves or validates.
HANDLERS = ("GradientClipping", "LrScheduleHandler", "StopOnDivergence")


class SpreadPhi(PhiPrior):
    """Another prior's quantiles, evenly spread: its mean cost in a few steps, the same in every round.

    What has no quantiles, such as factors that are drawn per level, is drawn as ever.

    Args:
        prior: of the training.
        count: iterations after which the quantiles come again.

    Example:
        >>> from monai_hyperscale.training import UniformPhi
        >>> prior = SpreadPhi(UniformPhi(0.0, 0.5), count=2)
        >>> [prior(iteration) for iteration in (1, 2, 3)]
        [0.125, 0.375, 0.125]
    """

    def __init__(self, prior: PhiPrior, count: int) -> None:
        super().__init__(prior.levels, prior.seed, prior.rescale_input)
        self.prior = prior
        self.count = count

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn."""
        return self.prior.range

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        return self.prior.quantile(u)

    def several(self, iteration: int, count: int) -> list[Drawn]:
        """Return ``count`` φ of an iteration, counted from 1, at one place of as many equally likely strata."""
        if self.prior.levels is not None:
            return self.prior.several(iteration, count)
        place = ((iteration - 1) % self.count + 0.5) / self.count
        try:
            return [self.quantile((k + place) / count) for k in range(count)]
        except ValueError:  # factors of all levels, drawn together
            return self.prior.several(iteration, count)


class Training:
    """A bundle's training configuration, from which a network of any method is trained a few steps at a time.

    Args:
        configs: the configuration's files, later ones over earlier ones.
        overrides: values over those of the files; ``dataset_dir`` among them, ``None`` for synthetic images.
        device: where networks train.
        batches: how many batches are drawn, for all networks alike.

    Attributes:
        steps: of the whole training.
    """

    def __init__(
        self, configs: Sequence[Path], overrides: Mapping[str, Any], device: torch.device, batches: int = 4
    ) -> None:
        self._configs = [str(path) for path in configs]
        # Loaded in this process, and only the cases that are drawn.
        loading = {"num_workers": 0, "cache_rate": 0.0}
        self._overrides = {"device": str(device), **overrides}
        parser = self._parser({}, {**self._overrides, **loading})
        set_determinism(int(parser.get_parsed_content("seed")))
        self._globals: dict[str, Any] = {"measured_data": parser.get_parsed_content("data")}
        loader = parser.get_parsed_content("train#dataloader")
        self._batches = list(islice(loader, batches))
        self.steps = int(parser.get_parsed_content("max_epochs")) * int(parser.get_parsed_content("train#epoch_length"))
        self.facts = {name: parser.get_parsed_content(name) for name in ("precision", "batch_size", "learning_rate")}
        self.teacher = parser.get("teacher") if "teacher" in parser else None
        set_determinism(None)

    def program(self, method: str, phi: Optional[Phi], steps: int) -> tuple[Callable[[], object], int]:
        """Return a program that trains a network for so many steps whenever it is called, and its parameters' number.

        Args:
            method: one of the bundle's.
            phi: of ``fixed``; ``None`` for the configuration's prior.
            steps: of one call.
        """
        torch.manual_seed(0)
        taught = method == "fixed" and self.teacher is not None
        parser = self._parser(
            {**self._globals, "measured_batches": list(islice(cycle(self._batches), steps))},
            {
                **self._overrides,
                **({} if method == "sshn" else {"method": method}),
                **({} if phi is None else {"phi": _written(phi)}),
                **({"teacher_phi": [_written(phi)]} if taught and phi is not None else {}),
                "data": "$measured_data",
                "train#dataloader": "$measured_batches",
                "train#trainer#epoch_length": steps,
                "train#trainer#max_epochs": 1,
            },
        )
        kept = [item for item in parser.get("train#handlers") if _belongs_to_a_step(item)]
        parser.set(kept, "train#handlers")
        trainer: Any = parser.get_parsed_content("train#trainer")
        # What is drawn beside φ costs nothing.
        prior: Any = SpreadPhi(parser.get_parsed_content("prior"), steps)
        PhiSampler(prior, parser.get_parsed_content("train#inferer")).attach(trainer)
        loss: Any = parser.get_parsed_content("loss")
        if hasattr(loss, "epoch"):  # the stage that all epochs but the first few have
            loss.epoch = int(parser.get_parsed_content("max_epochs"))
        trainer.logger.setLevel(logging.WARNING)
        return trainer.run, sum(parameter.numel() for parameter in trainer.network.parameters())

    def _parser(self, globals: Mapping[str, Any], overrides: Mapping[str, Any]) -> ConfigParser:
        parser = ConfigParser(globals=dict(globals))
        parser.read_config(self._configs)
        parser.update(dict(overrides))
        return parser


def _written(phi: Phi) -> Any:
    return phi if isinstance(phi, float) else list(as_factors(phi))


def _belongs_to_a_step(item: Any) -> bool:
    name = str(item["_target_"]).rpartition(".")[2]
    return name in HANDLERS or (name == "as_handler" and item.get("handler") == "@ema")


def minutes(seconds: Sequence[float], steps: int) -> list[float]:
    """Return the minutes of a training from seconds per step.

    Example:
        >>> minutes([0.5, 0.6], 1200)
        [10.0, 12.0]
    """
    return [value * steps / 60 for value in seconds]


def in_one(
    trainings: Sequence[Mapping[tuple[str, Optional[float]], Sequence[float]]], steps: Sequence[int]
) -> dict[tuple[str, Optional[float]], list[float]]:
    """Return seconds per step of trainings that follow one another, all together, by network and round.

    Args:
        trainings: seconds per step by network, a sample per round; the same networks in each.
        steps: of each training.

    Example:
        >>> in_one([{("sshn", None): [0.5]}, {("sshn", None): [0.2]}], [200, 100])
        {('sshn', None): [0.4]}
    """
    whole = sum(steps)
    return {
        who: [
            sum(seconds * count for seconds, count in zip(each, steps, strict=True)) / whole
            for each in zip(*(times[who] for times in trainings), strict=True)
        ]
        for who in trainings[0]
    }


def summary(
    times: Mapping[tuple[str, Optional[float]], Sequence[float]],
    parameters: Mapping[tuple[str, Optional[float]], int],
    steps: int,
    frontier: float = 0.0,
) -> list[dict[str, Any]]:
    """Return a row for every network, one for all of Fixed together, and one for SSHN with its sweep.

    Args:
        times: seconds per step by method and, of ``fixed``, φ; a sample per round.
        parameters: of the same networks.
        steps: of one training.
        frontier: seconds of the sweep that finds what every φ of SSHN costs and scores; 0 for none.

    Returns:
        rows with ``minutes`` and, where all of Fixed is measured, ``ratio`` to all of it: median and quartiles over
        rounds, of which each compares what was measured one right after another.
    """
    by_round = {who: minutes(seconds, steps) for who, seconds in times.items()}
    fixed = [values for (method, _), values in by_round.items() if method == "fixed"]
    total = [sum(values) for values in zip(*fixed, strict=True)]
    rows = []
    for (method, phi), values in by_round.items():
        row: dict[str, Any] = {"method": method, "phi": phi, "networks": 1}
        if (method, phi) in times:
            row["parameters"] = parameters[method, phi]
            row["seconds_per_step"] = asdict(spread(times[method, phi]))
        rows.append({**row, **_compared(values, total if method != "fixed" else [])})
    if total:
        rows.append({"method": "fixed, all", "phi": None, "networks": len(fixed), **_compared(total, total)})
    whole = by_round.get(("sshn", None))
    if frontier and whole:
        values = [value + frontier / 60 for value in whole]
        rows.append({"method": "sshn and its sweep", "phi": None, "networks": 1, **_compared(values, total)})
    return rows


def _compared(values: Sequence[float], total: Sequence[float]) -> dict[str, Any]:
    ratio = asdict(spread([a / b for a, b in zip(values, total, strict=True)])) if total else None
    return {"minutes": asdict(spread(values)), "ratio": ratio}


def _cells(row: Mapping[str, Any]) -> list[str]:
    step, ratio = row.get("seconds_per_step"), row["ratio"]
    return [
        row["method"],
        "" if row["phi"] is None else f"{row['phi']:g}",
        f"{row['parameters']:,}" if "parameters" in row else "",
        "" if step is None else f"{1e3 * step['median']:.1f}",
        "" if step is None else f"{1e3 * step['low']:.1f}–{1e3 * step['high']:.1f}",
        str(row["networks"]),
        f"{row['minutes']['median']:.1f}",
        "" if ratio is None else f"{ratio['median']:.3f}",
        "" if ratio is None else f"{ratio['low']:.3f}–{ratio['high']:.3f}",
    ]


def _override(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE is needed, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", help="default: none, synthetic images")
    parser.add_argument(
        "--configs",
        nargs="+",
        type=Path,
        action="append",
        help="of a training (default: train.json and hippocampus.json of sshn_seg); again for one that follows it",
    )
    parser.add_argument("--set", nargs="+", type=_override, default=[], metavar="KEY=VALUE", help="over the files'")
    parser.add_argument("--phis", default="0:0.5:0.05", help="of the Fixed networks (default: %(default)s)")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS, help="besides Fixed (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="samples per network (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=8, help="φ of the prior in a sample (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of one training (default: the configuration's)")
    parser.add_argument("--frontier", type=float, default=0.0, help="seconds of the sweep over φ, added to SSHN's")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice, one per core)")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "training_time.json"))
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure, print the table and write the JSON file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if min(options.rounds, options.draws, 1 if options.steps is None else options.steps) < 1 or options.frontier < 0:
        parser.error("--rounds, --draws and --steps must be at least 1, --frontier at least 0")
    device = chosen_device(parser, options)
    keep_freed_memory()  # as the configurations do before they train
    try:
        phis = [phi[0] if len(phi) == 1 else phi for phi in phi_grid(options.phis)]
    except HyperscaleError as error:
        parser.error(f"--phis: {error}")
    if not all(isinstance(phi, float) for phi in phis):
        parser.error(f"--phis names one factor per network, got {options.phis}")
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"output_dir": folder, "dataset_dir": options.dataset_dir, **dict(options.set)}
        trainings = [Training(configs, overrides, device) for configs in options.configs or [CONFIGS]]
        contestants: dict[Any, int] = {(method, None): options.draws for method in options.methods}
        # Two, so that the start of the trainer's loop weighs little.
        contestants |= {("fixed", phi): 2 for phi in phis}
        training = trainings[0]
        built = [{who: each.program(*who, count) for who, count in contestants.items()} for each in trainings]
        programs = {(k, who): run for k, each in enumerate(built) for who, (run, _) in each.items()}
        with tqdm(total=options.rounds * len(programs), unit="sample", file=sys.stderr) as progress:
            calls = interleaved(programs, options.rounds, device, warmup=1, progress=progress.update)
    steps = options.steps or sum(each.steps for each in trainings)
    per_step = [
        {who: [seconds / count for seconds in calls[k, who]] for who, count in contestants.items()}
        for k in range(len(trainings))
    ]
    times = in_one(per_step, [each.steps for each in trainings])
    rows = summary(times, {who: count for who, (_, count) in built[0].items()}, steps, options.frontier)
    teachers = [each.teacher for each in trainings]
    print(f"{steps} steps of {training.facts['batch_size']} images, {training.facts['precision']}\n")
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, device, {**vars(options), "steps": steps, **training.facts, "teachers": teachers}, rows)
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
