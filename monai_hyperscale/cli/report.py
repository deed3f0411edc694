"""``monai-hyperscale report``: a page and figures from measured results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from monai_hyperscale.console.command import Arguments, command
from monai_hyperscale.console.exit_codes import DONE
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import FRONTIER, PATH, confirm_option, overwrite_option
from monai_hyperscale.console.outputs import check_folder, check_free, check_outputs
from monai_hyperscale.errors import ArgumentError

if TYPE_CHECKING:
    from monai_hyperscale.search import Frontier
    from monai_hyperscale.search.confirmation import Confirmation

__all__ = ["report"]


@command("report", "make a page and figures from measured results")
@click.argument("frontier", type=FRONTIER, metavar="FRONTIER.json", help="results, or the folder that holds them")
@click.option("-o", "--output", required=True, type=PATH, metavar="REPORT.html", help="page to write")
@confirm_option
@click.option("--figures", type=PATH, metavar="DIR", help="also draw the curves there, as PNG and SVG")
@overwrite_option
def report(args: Arguments) -> int:
    """Make one HTML page from the results of `monai-hyperscale pareto`.

    Curves of the score against compute, time and memory with a dial for phi, a budget box, the table, and where the
    numbers come from. The page needs nothing else and asks no network for anything. With --confirm it tells what each
    phi scores on the cases of another frontier of the same network too, such as test cases.

      monai-hyperscale report frontier.json -o report.html --figures figures/
      monai-hyperscale report validation/ --confirm test/ -o report.html
    """
    inputs = [args.frontier, args.confirm]
    check_outputs({"--output": (args.output, (".html", ".htm"))}, inputs, args.overwrite)
    from monai_hyperscale.errors import FrontierError
    from monai_hyperscale.report import write_figures, write_report
    from monai_hyperscale.report.figures import figure_names
    from monai_hyperscale.search.results import read_frontier

    frontier = read_frontier(args.frontier)
    found = None if args.confirm is None else _confirmation(args.confirm, frontier)
    if args.figures is not None:
        _check_figures(args.figures, figure_names(frontier), args.overwrite)
    if found is not None and found.warning is not None:
        say(f"warning: {found.warning}")
    try:
        figures = [] if args.figures is None else write_figures(frontier, args.figures)
        # Last: a page that exists is that of a command that is done.
        write_report(frontier, args.output, confirm=found.other if found else None)
    except OSError as error:
        raise FrontierError(f"the outputs cannot be written ({error.strerror or error}).") from error
    drawn = f" and {len(figures)} figures in {args.figures}" if figures else ""
    say(f"wrote {args.output}{drawn}")
    return DONE


def _confirmation(path: Path, frontier: Frontier) -> Confirmation:
    """Return the frontier to confirm on, checked here so that messages name its file and no figure is drawn before."""
    from monai_hyperscale.search.confirmation import confirmation
    from monai_hyperscale.search.results import read_frontier

    found = confirmation(frontier, read_frontier(path), str(path))
    found.check_common_phi()
    return found


def _check_figures(folder: Path, names: list[str], overwrite: bool) -> None:
    check_folder("--figures", folder)
    for name in names:
        if (folder / name).is_dir():
            raise ArgumentError(f"{folder / name} is a folder; name another place for the figures.")
    if not overwrite:
        check_free([folder / name for name in names])
