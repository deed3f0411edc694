"""``monai-hyperscale report``: a page and figures from measured results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from monai_hyperscale.console.exit_codes import DONE
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.outputs import check_folder, check_inputs, check_outputs

if TYPE_CHECKING:
    from monai_hyperscale.search import Frontier
    from monai_hyperscale.search.confirmation import Confirmation

__all__ = ["DESCRIPTION", "SUMMARY", "add_arguments", "run"]

SUMMARY = "make a page and figures from measured results"
DESCRIPTION = """\
Make one HTML page from the results of `monai-hyperscale pareto`: curves of the
score against compute, time and memory with a dial for phi, a budget box, the
table, and where the numbers come from. The page needs nothing else and asks no
network for anything. With --confirm it tells what each phi scores on the cases of
another frontier of the same network too, such as test cases.

  monai-hyperscale report frontier.json -o report.html --figures figures/
  monai-hyperscale report validation/ --confirm test/ -o report.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("frontier", type=Path, metavar="FRONTIER.json", help="results, or the folder that holds them")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="REPORT.html", help="page to write")
    parser.add_argument("--confirm", type=Path, metavar="FRONTIER", help="frontier of other cases to confirm on")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also draw the curves there, as PNG and SVG")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def run(args: argparse.Namespace) -> int:
    """Write the page and the figures and return the exit code."""
    # Before the imports, which take seconds: a mistyped path is answered at once.
    inputs = [args.frontier, args.confirm]
    check_inputs(inputs)
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
            raise argparse.ArgumentTypeError(f"{folder / name} is a folder; name another place for the figures.")
        if (folder / name).exists() and not overwrite:
            raise argparse.ArgumentTypeError(f"{folder / name} exists already; add --overwrite.")
