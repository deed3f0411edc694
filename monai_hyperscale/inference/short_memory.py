"""What to do where memory is short: the same work in a smaller way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

__all__ = ["first_that_fits", "out_of_memory"]

logger = logging.getLogger(__name__)

Way = TypeVar("Way")
Result = TypeVar("Result")


def first_that_fits(attempt: Callable[[Way], Result], ways: Sequence[Way], what: str, next_way: str = "") -> Result:
    """Return what the first of several ways to do a thing gives for which the memory suffices.

    Args:
        attempt: does it in one of the ways.
        ways: each takes less memory than the one before.
        what: takes too much, for messages, such as ``the image``.
        next_way: how it goes on after the first, for messages, such as ``in windows``.

    Raises:
        MemoryError: if the memory is too small for all of them.

    Example:
        >>> def attempt(windows):
        ...     if windows < 3:
        ...         raise torch.OutOfMemoryError("CUDA out of memory")
        ...     return f"{windows} windows"
        >>> first_that_fits(attempt, (1, 2, 4), "the image", "in smaller windows")
        '4 windows'
    """
    for left, way in reversed(list(enumerate(reversed(ways)))):
        # Not the next way inside the handler: the error holds what the failed one had in memory.
        try:
            return attempt(way)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        if left:
            logger.warning("there is too little memory for %s at once; going on %s.", what, next_way)
    raise MemoryError(f"{what} does not fit into memory" + (f" even {next_way}" if next_way else ""))


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch's error means that memory was too small.

    Example:
        >>> out_of_memory(torch.OutOfMemoryError("CUDA out of memory")), out_of_memory(RuntimeError("wrong shape"))
        (True, False)
    """
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
