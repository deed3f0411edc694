"""What commands share that measure a trained network on a data set: its arguments, and the workload they name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar

import rich_click as click

from monai_hyperscale.console.command import Arguments, wrong_arguments
from monai_hyperscale.console.options import COUNT, PATH
from monai_hyperscale.errors import FrontierError
from monai_hyperscale.tasks import TASKS, task_named

if TYPE_CHECKING:
    from monai_hyperscale.search import Workload

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

cases_option = partial(
    click.option,
    "--cases",
    type=click.Choice(["validation", "test", "all"]),
    help="validation (default), which the weights were chosen by, and phi is to be chosen on; test, for a last look at "
    "what was chosen; or all",
)


def case_options(function: _Decorated) -> _Decorated:
    """Add which cases are measured, and how the intervals of their scores are made."""
    bootstrap = click.option("--bootstrap", type=COUNT, default=2000, metavar="N", help="resamplings for intervals")
    return cases_option()(bootstrap(function))


def workload_options(panel: str = "Options") -> Callable[[_Decorated], _Decorated]:
    """Add what says how cases are scored, which several commands share, to a panel of the help."""
    option = partial(click.option, panel=panel)
    scores = dict.fromkeys(score for task in TASKS for score in task_named(task).scores)
    options = (
        option(
            "--metric",
            metavar="NAME",
            help=f"one of {', '.join(scores)}, as far as the network's task has it; default: the task's first",
        ),
        option("--tolerance", type=float, metavar="MM", help="of surface_dice; default: 1"),
        option("--limit", type=COUNT, metavar="N", help="use only N cases, or pairs; default: all cases, 40 pairs"),
        option("--regularization", type=float, metavar="L", help="of networks whose weights depend on one"),
        option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="of pairs and resampling"),
        option("--pairs", type=PATH, metavar="FILE", help="list of pairs to measure; default: the training's"),
        option("--atlas", metavar="FILE", help="the fixed image of all pairs; default: the training's"),
        option("--atlas-label", type=PATH, metavar="FILE", help="label map of --atlas"),
        option("--device", default="auto", help="auto, cpu, cuda or cuda:N"),
        option(
            "--max-voxels",
            type=COUNT,
            default=2**24,
            metavar="N",
            help="images of more voxels go through in overlapping windows",
        ),
    )
    return lambda function: reduce(lambda decorated, each: each(decorated), reversed(options), function)


# Arguments of :func:`workload_options` that are passed on as they are.
_OPTIONS = ("metric", "tolerance", "limit", "regularization", "seed", "pairs", "atlas", "atlas_label", "max_voxels")


def workload_of(args: Arguments, bundle: Path, part: Optional[str]) -> Workload:
    """Return the workload of a trained network that the arguments of :func:`workload_options` name.

    ``part`` ``None``: the validation cases, or where there are none, the test cases with a warning.
    """
    from monai_hyperscale.bundle.settings import read_settings
    from monai_hyperscale.inference.devices import choose_device
    from monai_hyperscale.inference.networks import model_folder
    from monai_hyperscale.search.workload import open_workload

    name = args.device
    if "LOCAL_RANK" in os.environ and name in ("auto", "cuda"):
        import torch

        # One GPU for each process of torchrun.
        if torch.cuda.is_available():
            name = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    with wrong_arguments():
        device = choose_device(name)
    settings = read_settings(model_folder(bundle) / "model.json")
    with wrong_arguments(FrontierError):
        task_named(settings.task).metric(args.metric, args.tolerance)
    options = {name: getattr(args, name) for name in _OPTIONS}
    return open_workload(bundle, args.dataset, part, device=device, **options)


def command_line(args: Arguments) -> list[str]:
    """Return the words of the command without folders, which are of this machine only."""

    def without_folders(word: re.Match) -> str:  # FOLDER, --option=FOLDER or -oFOLDER
        return word[1] + (Path(word[2]).name if os.sep in word[2] else word[2])

    return ["monai-hyperscale", *(re.sub(r"(?s)^(--[^=]*=|-[^-]|)(.*)$", without_folders, word) for word in args.words)]
