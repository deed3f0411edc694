"""``monai-hyperscale report``: a page and figures from measured results."""

from __future__ import annotations

import rich_click as click

from monai_hyperscale.console.command import DONE, Arguments, command
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import FRONTIER, PATH, confirm_option, overwrite_option
from monai_hyperscale.console.outputs import check_folder, check_outputs


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
    from monai_hyperscale.search.budget import confirmation
    from monai_hyperscale.search.results import read_frontier

    frontier, other, warning = read_frontier(args.frontier), None, None
    if args.confirm is not None:
        # Here, so that messages name its file and no figure is drawn before.
        found = confirmation(frontier, read_frontier(args.confirm), str(args.confirm))
        found.check_common_phi()
        other, warning = found.other, found.warning
    if args.figures is not None:
        check_folder("--figures", args.figures, figure_names(frontier), args.overwrite)
    if warning is not None:
        say(f"warning: {warning}")
    try:
        figures = [] if args.figures is None else write_figures(frontier, args.figures)
        # Last: a page that exists is that of a command that is done.
        write_report(frontier, args.output, confirm=other)
    except OSError as error:
        raise FrontierError(f"the outputs cannot be written ({error.strerror or error}).") from error
    drawn = f" and {len(figures)} figures in {args.figures}" if figures else ""
    say(f"wrote {args.output}{drawn}")
    return DONE
