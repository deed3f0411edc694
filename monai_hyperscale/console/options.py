"""Options that several commands have, and how their values are read, without importing torch for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from monai_hyperscale.console.command import Arguments, Existing, wrong_arguments

if TYPE_CHECKING:
    from monai_hyperscale.io import Placement

#: Types of values.
BUNDLE = Existing("bundle", "name the folder of a trained bundle")
DATASET = Existing("data set", "name its folder")
FRONTIER = Existing("frontier", "name the frontier.json that pareto wrote, or its folder")
PATH = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)
SHARE = click.FloatRange(0, 1)

_OF_US = "trained bundle; default: the hippocampus network"

#: Decorators of commands.
bundle_argument = click.argument("bundle", required=False, type=BUNDLE, help=_OF_US)
bundle_option = click.option("--bundle", type=BUNDLE, metavar="DIR", help=_OF_US)
confirm_option = click.option(
    "--confirm", type=FRONTIER, metavar="FRONTIER", help="frontier of other cases to confirm on"
)
device_option = click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N")
force_option = click.option(
    "--force", is_flag=True, help="go on with images far outside of what the network was trained on, which is an error"
)
overwrite_option = click.option("--overwrite", is_flag=True, help="replace outputs that exist")


def placement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where images lie whose headers leave a choice, which :func:`placement` reads."""
    header = "which counts where the two of a NIfTI file disagree; default: sform, with a warning"
    orientation = "where the axes point of images whose headers do not tell, such as RAS or LPS"
    command = click.option("--orientation", metavar="RAS", help=orientation)(command)
    return click.option("--header", type=click.Choice(["sform", "qform"]), help=header)(command)


def placement(args: Arguments) -> Placement:
    """Return what the options of :func:`placement_options` say."""
    from monai_hyperscale.io import Placement

    with wrong_arguments(before="--"):
        return Placement(args.header, args.orientation and args.orientation.upper(), as_options=True)


def factors(text: str) -> tuple[float, ...]:
    """Read ``0.3`` or ``0.5,0.3``."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 <= value <= 1 for value in values):
        raise click.BadParameter(f"phi must be a number between 0 and 1, or several with commas, got {text!r}.")
    return values


def listed(values: tuple[float, ...]) -> str:
    """Write factors as :func:`factors` reads them."""
    return ",".join(f"{value:g}" for value in values)


def sizes(text: str) -> tuple[int, ...]:
    """Read a size per axis, ``48,64,48`` or ``48x64x48``."""
    parts = text.replace("x", ",").split(",")
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"a size is two or three whole numbers with commas, such as 48,64,48, got {text!r}.")
    return tuple(int(part) for part in parts)
