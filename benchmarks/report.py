"""Tables on the screen, the same as JSON, and a description of the machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from monai_hyperscale.search.timing import describe_machine as of_results

__all__ = ["describe_machine", "table", "write_json"]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: processor, threads, versions, cores and load."""
    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    return {**of_results(device), "cores": os.cpu_count(), "load": load}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its columns padded to be read as text too.

    Example:
        >>> print(table(["network", "ms"], [["plain", "1.5"]]))
        | network | ms  |
        |---------|-----|
        | plain   | 1.5 |
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [header, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_json(
    path: Path, device: torch.device, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write what was measured, how, and on what machine."""
    content = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "machine": describe_machine(device),
        "settings": dict(settings),
        "rows": list(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
