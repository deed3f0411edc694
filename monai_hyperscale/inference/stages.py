"""Where the time of an inference goes, for callers who ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Optional

import torch

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
    if seconds is None:
        yield
        return
    with timed(seconds, name, device):
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
