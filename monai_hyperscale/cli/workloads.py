"""What commands share that measure a trained network on a data set: its arguments, and the workload they name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from monai_hyperscale.console.arguments import count, seed
from monai_hyperscale.errors import FrontierError

if TYPE_CHECKING:
    from monai_hyperscale.search import Workload

__all__ = ["WORKLOAD_DEFAULTS", "add_case_arguments", "add_workload_arguments", "command_line", "workload_of"]

#: Of how cases are scored.
WORKLOAD_DEFAULTS = {"metric": "dice", "seed": 0, "device": "auto", "max_voxels": 2**24}


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which cases are measured, and how the intervals of their scores are made."""
    parser.add_argument(
        "--cases",
        choices=("test", "validation", "all"),
        default="test",
        help="those that the network did not see (default), those that its weights were chosen by, or all",
    )
    parser.add_argument(
        "--bootstrap", type=count, default=2000, metavar="N", help="resamplings for intervals; default: 2000"
    )


def add_workload_arguments(parser: argparse._ActionsContainer) -> None:
    """Add what says how cases are scored, which several commands share."""
    parser.add_argument(
        "--metric",
        default=WORKLOAD_DEFAULTS["metric"],
        metavar="NAME",
        help="dice (default), iou, surface_dice, hd95, hausdorff, assd, sensitivity, precision; of registration also "
        "correlation",
    )
    parser.add_argument("--tolerance", type=float, metavar="MM", help="of surface_dice; default: 1")
    parser.add_argument(
        "--limit", type=count, metavar="N", help="use only N cases; of registration N pairs, 40 by default"
    )
    parser.add_argument(
        "--regularization", type=float, metavar="L", help="of registration networks trained for several"
    )
    parser.add_argument(
        "--seed",
        type=seed,
        default=WORKLOAD_DEFAULTS["seed"],
        metavar="N",
        help="of pairs and resampling; default: %(default)s",
    )
    parser.add_argument("--device", default=WORKLOAD_DEFAULTS["device"], help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument(
        "--max-voxels",
        type=count,
        default=WORKLOAD_DEFAULTS["max_voxels"],
        metavar="N",
        help="images of more voxels go through in overlapping windows; default: %(default)s",
    )


def workload_of(args: argparse.Namespace, bundle: Path, part: str) -> Workload:
    """Return what the arguments of :func:`add_workload_arguments` name."""
    from monai_hyperscale.inference.devices import choose_device
    from monai_hyperscale.search.metrics import metric_named
    from monai_hyperscale.search.opening import open_workload

    name = args.device
    if "LOCAL_RANK" in os.environ and name in ("auto", "cuda"):
        import torch

        # One GPU for each process of torchrun.
        if torch.cuda.is_available():
            name = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    try:
        device = choose_device(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if args.metric != "correlation":
        try:
            metric_named(args.metric, args.tolerance)
        except FrontierError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return open_workload(
        bundle,
        args.dataset,
        args.metric,
        args.tolerance,
        part,
        args.limit,
        device,
        args.max_voxels,
        args.regularization,
        args.seed,
    )


def command_line(args: argparse.Namespace) -> list[str]:
    """Return the words of the command without folders, which are of this machine only.

    Example:
        >>> command_line(argparse.Namespace(words=["pareto", "a/bundle", "--dataset=b/liver"]))
        ['monai-hyperscale', 'pareto', 'bundle', '--dataset=liver']
    """
    return ["monai-hyperscale", *map(_without_folders, args.words)]


def _without_folders(word: str) -> str:
    option, value = "", word
    if word.startswith("--") and "=" in word:
        option, value = word[: word.index("=") + 1], word[word.index("=") + 1 :]
    elif word.startswith("-") and not word.startswith("--"):
        option, value = word[:2], word[2:]  # -oFOLDER
    return option + (Path(value).name if os.sep in value else value)
