"""Results per φ as a table on the screen, in JSON and in CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_hyperscale.io.atomic import write_text

__all__ = ["rounded", "write_tables"]


def rounded(value: float, digits: int = 4) -> float:
    """Return a number with so many significant digits.

    Example:
        >>> rounded(12.34567), rounded(0.000123456)
        (12.35, 0.0001235)
    """
    return float(f"{value:.{digits}g}")


def write_tables(path: Path, rows: Sequence[Mapping[str, Any]], heading: str, facts: Mapping[str, Any]) -> None:
    """Print a table and write it, each file whole or not at all.

    Args:
        path: of the files, without suffix: JSON and CSV are written.
        rows: the lines, of the same columns, ``phi`` among them.
        heading: of the printed table.
        facts: what JSON holds before the rows.
    """
    # Several factors are a list in JSON, and one text elsewhere.
    plain = [{name: _text(value) for name, value in row.items()} for row in rows]
    print(f"\n{heading}\n{_table(plain)}\n", flush=True)
    write_text(path.with_suffix(".json"), json.dumps({**facts, "rows": list(rows)}, indent=2) + "\n")
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys())
    writer.writeheader()
    writer.writerows(plain)
    write_text(path.with_suffix(".csv"), buffer.getvalue())


def _text(value: Any) -> Any:
    return ",".join(f"{factor:g}" for factor in value) if isinstance(value, tuple) else value


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    header = list(rows[0])
    cells = [header] + [[v if isinstance(v := row[name], str) else f"{v:.4g}" for name in header] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
