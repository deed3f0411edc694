"""Tables of results: ruled on a terminal, plain columns where the output goes into a file or another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

_WIDEST = 10_000  # of plain text, which nothing has to fit


def print_table(
    rows: Sequence[Sequence[str]], header: Optional[Sequence[str]] = None, left: Sequence[int] = ()
) -> None:
    """Print a table, with the columns ``left``, or all without a header, to the left and the others to the right."""
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
