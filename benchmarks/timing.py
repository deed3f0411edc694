"""What the times of several programs, measured in turn, say of each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from monai_hyperscale.search.results import Latency
from monai_hyperscale.search.timing import SHORTEST_SAMPLE, Name, interleaved_rounds, spread

__all__ = ["SHORTEST_SAMPLE", "interleaved", "ratios", "spread"]


def interleaved(
    programs: Mapping[Name, Callable[[], object]], rounds: int, device: torch.device, **options: Any
) -> dict[Name, list[float]]:
    """Return the seconds per call of every program, of all rounds, see :func:`interleaved_rounds`."""
    taken = list(interleaved_rounds(programs, rounds, device, **options))
    return {name: [seconds[name] for seconds in taken] for name in programs}


def ratios(times: Sequence[float], reference: Sequence[float]) -> Latency:
    """Return the spread of time ÷ reference, round by round.

    A round's times were taken one right after another, so what slows the machine for a while cancels in their ratio,
    as it does not in the ratio of two medians.

    Example:
        >>> ratios([2.2, 22.0, 4.4], [2.0, 20.0, 4.0]).high
        1.1
    """
    return spread([a / b for a, b in zip(times, reference, strict=True)])
