"""The most memory that this process has held."""

from __future__ import annotations

import sys
from typing import Optional

__all__ = ["peak_memory_mib"]


def peak_memory_mib(device: str = "cpu") -> dict[str, Optional[float]]:
    """Return the greatest resident size so far in MiB, and on a GPU what torch has held there at most.

    Args:
        device: name of torch's device.

    Returns:
        ``process``, ``None`` where the system does not tell (Windows); and ``gpu`` for a CUDA device.
    """
    peak: dict[str, Optional[float]] = {"process": None}
    if sys.platform != "win32":
        import resource

        # Bytes on macOS, KiB elsewhere.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak["process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
    if device.startswith("cuda"):
        import torch

        peak["gpu"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return peak
