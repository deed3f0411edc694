"""Times of several programs measured in turn, so that a disturbance of the machine meets all of them alike."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, TypeVar

import monai
import numpy as np
import torch

import monai_hyperscale
from monai_hyperscale.search.results import Latency

#: Seconds that one sample lasts at least; shorter programs are repeated within it.
SHORTEST_SAMPLE = 0.02
MOST_REPEATS = 200

Name = TypeVar("Name", bound=Hashable)


def spread(values: Sequence[float]) -> Latency:
    """Return the median and the quartiles."""
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Latency(median, low, high, len(values))


def interleaved_rounds(
    programs: Mapping[Name, Callable[[], object]],
    rounds: int,
    device: torch.device,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    progress: Optional[Callable[[], object]] = None,
    first: int = 0,
) -> Iterator[dict[Name, float]]:
    """Run all programs in every round, each time in another order, and yield their seconds per call, by name.

    Rounds begin with number ``first``, where earlier ones are known, after ``warmup`` calls that do not count.
    """
    if not programs or rounds < 1:
        raise ValueError(f"there must be a program and at least one round, got {list(programs)} and {rounds}.")
    repeats = dict.fromkeys(programs, 1)
    with _no_garbage_collection():
        for name, program in programs.items():
            for _ in range(warmup):
                seconds = _sample(program, 1, device, clock)
                repeats[name] = min(MOST_REPEATS, max(1, round(SHORTEST_SAMPLE / max(seconds, 1e-9))))
        names = list(programs)
        for index in range(first, rounds):
            seconds_of_round: dict[Name, float] = {}
            # Rotated, and backwards every other time: nobody always runs after the same one.
            turn = index % len(names)
            order = names[turn:] + names[:turn]
            for name in order if index % 2 == 0 else reversed(order):
                seconds = _sample(programs[name], repeats[name], device, clock)
                seconds_of_round[name] = seconds / repeats[name]
                if progress is not None:
                    progress()
            gc.collect()
            yield seconds_of_round


def _sample(program: Callable[[], object], repeats: int, device: torch.device, clock: Callable[[], float]) -> float:
    _wait(device)
    start = clock()
    for _ in range(repeats):
        program()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    collected = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is there already, which would take a second or more to go through after every round
    try:
        yield
    finally:
        gc.unfreeze()
        if collected:
            gc.enable()


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to judge a time: processor, threads and versions, no name of machine or user."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    machine: dict[str, Any] = {
        "device": str(device),
        "processor": named[0] if named else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "numpy": np.__version__,
        "monai_hyperscale": monai_hyperscale.__version__,
        "system": platform.system(),
    }
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
        machine["cuda"] = torch.version.cuda
    return machine
