"""Tables of results: ruled on a terminal, plain columns where the output goes into a file or another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

__all__ = ["print_table"]

_WIDEST = 10_000  # of plain text, which nothing has to fit


def print_table(
    rows: Sequence[Sequence[str]], header: Optional[Sequence[str]] = None, left: Sequence[int] = ()
) -> None:
    r"""Print a table to standard output.

    Args:
        rows: cells of each row.
        header: names of the columns; without it all columns stand to the left.
        left: numbers of the columns that stand to the left; the others stand to the right.

    Example:
        >>> print_table([["0.1", "7.25"], ["0.25", "11"]], ["phi", "GFLOPs"])
         phi  GFLOPs
         0.1    7.25
        0.25      11
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, emoji=False, markup=False)
    ruled = box.SIMPLE_HEAD if console.is_terminal and header else None
    if not console.is_terminal:
        console.width = _WIDEST
    table = Table(box=ruled, show_header=header is not None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(header or rows[0]):
        to_left = header is None or place in left
        table.add_column(name if header else "", justify="left" if to_left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    with console.capture() as text:
        console.print(table)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))
