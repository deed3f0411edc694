"""Which φ to measure, from text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from monai_hyperscale.errors import PhiError

_MOST = 100_000


def phi_grid(text: str) -> list[tuple[float, ...]]:
    """Read a grid of φ; a PhiError if it is none of these, or a factor is outside [0, 1].

    - ``0.1,0.3,0.5``: these;
    - ``0:0.5:0.01``: from the first to the second in steps of the third;
    - ``0.5,0.3,0.1;0.5,0.2,0.1``: factors per level, φ apart by semicolons; a single one ends with a semicolon;
    - ``0:0.5:0.05x0:0.5:0.05x0.1,0.2``: factors per level, every combination.

    Example:
        >>> phi_grid("0.1:0.3:0.1"), phi_grid("0.5,0.3;"), phi_grid("0.1,0.2x0.5")
        ([(0.1,), (0.2,), (0.3,)], [(0.5, 0.3)], [(0.1, 0.5), (0.2, 0.5)])
    """
    if ";" in text:
        parts = [part for part in text.split(";") if part.strip()]
        found = [tuple(_factor(number, text) for number in part.split(",")) for part in parts]
    else:
        axes = [_axis(part, text) for part in text.split("x")]
        count = math.prod(map(len, axes))
        if count > _MOST:
            raise PhiError(f"the grid {text!r} has {count} phi; at most {_MOST} are taken.")
        found = list(itertools.product(*axes))
    unique = list(dict.fromkeys(found))
    if not unique or len({len(phi) for phi in unique}) > 1:
        raise PhiError(f"every phi of a grid has as many factors, at least one; got {text!r}.")
    return unique


def default_grid(phi_range: Sequence[float]) -> str:
    """Return the grid of the papers: steps of 0.01 over the range that a network was trained for."""
    low, high = phi_range
    return f"{low:g}" if low == high else f"{low:g}:{high:g}:0.01"


def _axis(part: str, text: str) -> list[float]:
    if ":" not in part:
        return [_factor(number, text) for number in part.split(",")]
    numbers = part.split(":")
    if len(numbers) != 3:
        raise PhiError(f"a range of phi is low:high:step, such as 0:0.5:0.01, got {part!r}.")
    low, high, step = (_factor(number, text) for number in numbers)
    if step <= 0 or high < low or (high - low) / step > _MOST:
        raise PhiError(f"a range of phi goes from low to high in steps above 0, at most {_MOST}; got {part!r}.")
    count = int((high - low) / step + 1e-6)
    # Rounded, so that 0.3 is 0.3 and not 0.30000000000000004.
    return [round(low + index * step, 9) for index in range(count + 1)]


def _factor(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise PhiError(f"phi is a number between 0 and 1, or a grid such as 0:0.5:0.01; got {number!r} in {text!r}.")
    return value
