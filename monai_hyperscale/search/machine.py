"""What a reader needs to know of the machine to judge a time."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch

import monai_hyperscale

__all__ = ["describe_machine"]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return processor, threads and versions, without any name of machine or user.

    Args:
        device: that the networks run on.

    Example:
        >>> describe_machine(torch.device("cpu"))["device"]
        'cpu'
    """
    machine: dict[str, Any] = {
        "device": str(device),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "monai_hyperscale": monai_hyperscale.__version__,
        "system": platform.system(),
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
