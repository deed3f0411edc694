"""How long the stages of a command took, for the screen and for reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Optional

__all__ = ["added_up", "outside_network", "stage_table"]

#: In the order in which an image goes through them.
STAGES = (
    "preparation",
    "reading",
    "preprocessing",
    "network",
    "merging",
    "argmax",
    "resampling",
    "preview",
    "writing",
    "volumes",
)


def added_up(images: Iterable[Mapping[str, float]], preparation: float, total: float) -> dict[str, float]:
    """Return the seconds of every stage of a command, ``other`` that belong to none, and ``total``.

    Args:
        images: seconds of every image's stages.
        preparation: seconds before the first image.
        total: seconds of the command.

    Example:
        >>> added_up([{"network": 2.0, "reading": 1.0}, {"network": 3.0}], preparation=0.5, total=7.0)
        {'preparation': 0.5, 'reading': 1.0, 'network': 5.0, 'other': 0.5, 'total': 7.0}
    """
    found = {"preparation": preparation}
    for image in images:
        for name, seconds in image.items():
            found[name] = found.get(name, 0.0) + seconds
    ordered = {name: found[name] for name in STAGES if name in found}
    return {**ordered, "other": max(0.0, total - sum(ordered.values())), "total": total}


def outside_network(seconds: Mapping[str, float]) -> float:
    """Return which share of the time is not the network's.

    Example:
        >>> outside_network({"network": 6.0, "reading": 2.0, "total": 8.0})
        0.25
    """
    return 1 - seconds.get("network", 0.0) / seconds["total"]


def stage_table(seconds: Mapping[str, float], peak_mib: Mapping[str, Optional[float]]) -> list[str]:
    r"""Return the lines of a table of stages with their seconds and shares, and of the peak memory.

    Args:
        seconds: from :func:`added_up`.
        peak_mib: from :func:`monai_hyperscale.console.peak_memory.peak_memory_mib`.

    Example:
        >>> print("\n".join(stage_table({"network": 6.0, "reading": 2.0, "total": 8.0}, {"process": 512.0})))
        stage              seconds   share
        network               6.00  75.0 %
        reading               2.00  25.0 %
        total                 8.00
        outside the network   2.00  25.0 %
        peak memory        512 MiB
    """
    whole = seconds["total"]
    lines = [f"{'stage':<19}{'seconds':>7}   share"]
    lines += [_line(name, value, whole) for name, value in seconds.items() if name != "total"]
    lines.append(f"{'total':<19}{whole:>7.2f}")
    lines.append(_line("outside the network", whole * outside_network(seconds), whole))
    kinds = {"process": "peak memory", "gpu": "peak GPU memory"}
    lines += [f"{kinds[kind]:<18} {peak:.0f} MiB" for kind, peak in peak_mib.items() if peak is not None]
    return lines


def _line(name: str, seconds: float, whole: float) -> str:
    return f"{name:<19}{seconds:>7.2f}  {100 * seconds / whole:>4.1f} %"
