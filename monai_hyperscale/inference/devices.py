"""The device to compute on, what to do where its memory is too small, and where the time of an inference goes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Optional, TypeVar

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


_seconds: ContextVar[Optional[dict[str, float]]] = ContextVar("seconds", default=None)


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Give the seconds of every :func:`stage` that this thread goes through inside the block, by name."""
    seconds: dict[str, float] = {}
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


@contextmanager
def stage(name: str, device: Optional[torch.device] = None) -> Iterator[None]:
    """Count the time of the block towards a stage, if anyone measures; a GPU ``device`` is then waited for."""
    seconds = _seconds.get()
    with nullcontext() if seconds is None else timed(seconds, name, device):
        yield


@contextmanager
def timed(seconds: dict[str, float], name: str, device: Optional[torch.device] = None) -> Iterator[None]:
    """Add the time of the block to the ``seconds`` under a name; a GPU ``device`` is waited for."""
    started = time.perf_counter()
    try:
        yield
        if device is not None and device.type != "cpu":
            torch.accelerator.synchronize(device)
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
