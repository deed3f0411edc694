"""The rescaling factor φ: what counts as one, and how it reaches the resize layers of a network.

A network's ``forward`` enters :func:`rescaling_factor`; the resize layers inside read it with :func:`current_factor`
from a context variable, so nested modules need no new arguments and two threads with two factors do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Union

import torch

from monai_hyperscale.context import ContextNumber
from monai_hyperscale.errors import PhiError

#: One rescaling factor for every level, or one per level.
Phi = Union[float, Sequence[float], torch.Tensor]

_ONE, _SEVERAL = ContextNumber("phi"), ContextNumber("phi", count=None)
_FACTORS: ContextVar[tuple[float, ...] | None] = ContextVar("monai_hyperscale_factors", default=None)


def check_factor(phi: object) -> float:
    """Return a factor in [0, 1], a number, tensor without axes or NumPy scalar, as a float; else a :class:`PhiError`.

    Example:
        >>> check_factor(0.3)
        0.3
    """
    if isinstance(phi, Sequence):
        raise PhiError(f"phi must be a number between 0 and 1, got {phi!r} ({type(phi).__name__}).")
    (value,) = _ONE.values(phi)
    return value


def as_factors(phi: object) -> tuple[float, ...]:
    """Return φ as a tuple of checked factors: of length one for a single factor, else one per level.

    A :class:`PhiError` if a factor is not a number in [0, 1], or the sequence is empty.

    Example:
        >>> as_factors(0.5), as_factors([0.5, 0.25])
        ((0.5,), (0.5, 0.25))
    """
    return _SEVERAL.values(phi)


@contextmanager
def rescaling_factor(phi: Phi) -> Iterator[tuple[float, ...]]:
    """Set the rescaling factor that the resize layers called inside the block use.

    Example:
        >>> with rescaling_factor(0.25):
        ...     current_factor(level=0)
        0.25
    """
    factors = as_factors(phi)
    token = _FACTORS.set(factors)
    try:
        yield factors
    finally:
        _FACTORS.reset(token)


def current_factor(level: int) -> float:
    """Return the factor of one level (0 is the first down-sampling) of the network that is running.

    A :class:`PhiError` if no factor is set, or fewer factors than levels were given.
    """
    factors = _FACTORS.get()
    if factors is None:
        raise PhiError("no rescaling factor is set: call the network with phi=..., or fold it for one phi first.")
    if len(factors) == 1:
        return factors[0]
    if level >= len(factors):
        raise PhiError(
            f"the network has a level {level}, but phi names {len(factors)} factors: give one, or one per level."
        )
    return factors[level]
