"""Tables on the screen, the same as JSON, and a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import torch

import monai_hyperscale

__all__ = ["describe_machine", "table", "write_json"]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: processor, threads, versions, load."""
    machine: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "monai_hyperscale": monai_hyperscale.__version__,
        "device": str(device),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
        machine["cuda"] = torch.version.cuda
    return machine


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
