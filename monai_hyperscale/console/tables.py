"""Tables of results: ruled on a terminal, plain columns where the output goes into a file or another program."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Optional

__all__ = ["print_table", "table_text"]

_WIDEST = 10_000  # of plain text, which nothing has to fit


def print_table(
    rows: Sequence[Sequence[str]], header: Optional[Sequence[str]] = None, left: Sequence[int] = ()
) -> None:
    """Print a table to standard output.

    Args:
        rows: cells of each row.
        header: names of the columns; without it all columns stand to the left.
        left: numbers of the columns that stand to the left; the others stand to the right.
    """
    from rich.console import Console

    console = Console(highlight=False, emoji=False, markup=False)
    if console.is_terminal:
        console.print(_table(rows, header, left, ruled=True))
    else:
        print(table_text(rows, header, left))


def table_text(rows: Sequence[Sequence[str]], header: Optional[Sequence[str]] = None, left: Sequence[int] = ()) -> str:
    r"""Return the table of :func:`print_table` as plain text.

    Example:
        >>> print(table_text([["0.1", "7.25"], ["0.25", "11"]], ["phi", "GFLOPs"]))
         phi  GFLOPs
         0.1    7.25
        0.25      11
    """
    from rich.console import Console

    text = io.StringIO()
    plain = Console(file=text, width=_WIDEST, color_system=None, highlight=False, emoji=False, markup=False)
    plain.print(_table(rows, header, left, ruled=False))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _table(rows, header, left, ruled):  # type: ignore[no-untyped-def]  # of rich, which is imported late
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD if ruled and header else None,
        show_header=header is not None,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for place, name in enumerate(header or rows[0]):
        to_left = header is None or place in left
        table.add_column(name if header else "", justify="left" if to_left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
