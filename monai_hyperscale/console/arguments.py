"""Reading of arguments that several commands take, without importing torch for it."""

from __future__ import annotations

import argparse

__all__ = ["count", "factors", "listed", "seed", "share"]


def factors(text: str) -> tuple[float, ...]:
    """Read ``0.3`` or ``0.5,0.3``, by the rule of ``as_factors``.

    Example:
        >>> factors("0.5,0.3")
        (0.5, 0.3)
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"phi must be a number between 0 and 1, or several with commas, got {text!r}.")
    return values


def listed(values: tuple[float, ...]) -> str:
    """Write factors as :func:`factors` reads them."""
    return ",".join(f"{value:g}" for value in values)


def seed(text: str) -> int:
    """Read a whole number that every library takes for a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to {2**32 - 1} is needed, got {text!r}.")
    return int(text)


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number between 0 and 1 is needed, got {text!r}.")
    return value


def count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, got {text!r}.")
    return int(text)
