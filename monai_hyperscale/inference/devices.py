"""The device to compute on, and what to do where its memory is too small."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from monai_hyperscale.errors import ConfigError

logger = logging.getLogger(__name__)

Way = TypeVar("Way")
Result = TypeVar("Result")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name, or the CPU with a warning in the log if the machine does not have it.

    ``auto`` is CUDA if there is one, else the CPU; a name other than that, ``cpu``, ``cuda`` and ``cuda:<number>`` is a
    ConfigError.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:<number>, got {name!r}.")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        logger.warning("device %s is not on this machine (CUDA devices: %d); using the CPU.", name, available)
        return torch.device("cpu")
    return device


def first_that_fits(attempt: Callable[[Way], Result], ways: Sequence[Way], what: str, next_way: str = "") -> Result:
    """Return what the first of several ``ways``, each of less memory, gives for which it is enough; or ``MemoryError``.

    Messages name ``what`` takes too much, and the ``next_way``.
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
    """Return whether torch's error means that memory was too small, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
