"""How long the stages of a command took, and the most memory that it held: for the screen and for reports."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Optional

# In the order in which an image goes through them.
_STAGES = (
    *("preparation", "reading", "preprocessing", "network", "merging"),
    *("argmax", "resampling", "preview", "writing", "volumes"),
)


def added_up(images: Iterable[Mapping[str, float]], preparation: float, total: float) -> dict[str, float]:
    """Return the seconds of every stage over all images, ``other`` that belong to none, and ``total``."""
    found = {"preparation": preparation}
    for image in images:
        for name, seconds in image.items():
            found[name] = found.get(name, 0.0) + seconds
    ordered = {name: found[name] for name in _STAGES if name in found}
    return {**ordered, "other": max(0.0, total - sum(ordered.values())), "total": total}


def outside_network(seconds: Mapping[str, float]) -> float:
    """Return which share of the time is not the network's."""
    return 1 - seconds.get("network", 0.0) / seconds["total"]


def stage_table(seconds: Mapping[str, float], peak_mib: Mapping[str, Optional[float]]) -> list[str]:
    r"""Return the lines of a table of :func:`added_up`'s stages, their shares, and :func:`peak_memory_mib`.

    Example:
        >>> print("\n".join(stage_table({"network": 6.0, "reading": 2.0, "total": 8.0}, {"process": 512.0})))
        stage              seconds   share
        network               6.00  75.0 %
        reading               2.00  25.0 %
        total                 8.00
        outside the network   2.00  25.0 %
        peak memory        512 MiB
    """

    def line(name: str, value: float) -> str:
        return f"{name:<19}{value:>7.2f}  {100 * value / whole:>4.1f} %"

    whole = seconds["total"]
    lines = [f"{'stage':<19}{'seconds':>7}   share"]
    lines += [line(name, value) for name, value in seconds.items() if name != "total"]
    lines.append(f"{'total':<19}{whole:>7.2f}")
    lines.append(line("outside the network", whole * outside_network(seconds)))
    kinds = {"process": "peak memory", "gpu": "peak GPU memory"}
    return lines + [f"{kinds[kind]:<18} {peak:.0f} MiB" for kind, peak in peak_mib.items() if peak is not None]


def peak_memory_mib(device: str = "cpu") -> dict[str, Optional[float]]:
    """Return the peak memory in MiB: resident, of this process (``None`` on Windows), and on a GPU what torch held."""
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
