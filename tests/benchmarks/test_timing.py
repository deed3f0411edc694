from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.timing import SHORTEST_SAMPLE, interleaved, ratios, spread

CPU = torch.device("cpu")


class Clock:
    """A clock that programs move, so that no test depends on the machine's speed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def program(self, name: str, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.calls.append(name)
            self.now += seconds

        return run


def test_times_are_seconds_per_call() -> None:
    clock = Clock()
    programs = {"slow": clock.program("slow", 2.0), "quick": clock.program("quick", SHORTEST_SAMPLE / 5)}
    times = interleaved(programs, rounds=3, device=CPU, warmup=1, clock=clock)
    assert times["slow"] == pytest.approx([2.0] * 3)
    assert times["quick"] == pytest.approx([SHORTEST_SAMPLE / 5] * 3)
    # One call of each to warm up, then samples of one call of the slow one and five of the quick one.
    assert clock.calls.count("slow") == 1 + 3
    assert clock.calls.count("quick") == 1 + 3 * 5


def test_every_program_comes_after_every_other() -> None:
    clock = Clock()
    interleaved({name: clock.program(name, 1.0) for name in "abc"}, rounds=6, device=CPU, warmup=0, clock=clock)
    rounds = ["".join(clock.calls[i : i + 3]) for i in range(0, 18, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert {order[0] for order in rounds} == {"a", "b", "c"}
    assert len({pair for order in rounds for pair in (order[:2], order[1:])}) == 6


def test_ratios_are_of_the_same_round() -> None:
    # The machine slows threefold in the second half; the medians of the two alone would say 1.5.
    reference = [1.0, 1.0, 3.0, 3.0]
    assert ratios([1.5 * seconds for seconds in reference], reference).median == pytest.approx(1.5)
    assert ratios([2.0, 2.0, 3.0, 3.0], reference) == spread([2.0, 2.0, 1.0, 1.0])
    assert (spread([2.0]).low, spread([2.0]).median, spread([2.0]).high) == (2.0, 2.0, 2.0)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        interleaved({"a": lambda: None}, rounds=0, device=CPU)
    with pytest.raises(ValueError, match="a program"):
        interleaved({}, rounds=1, device=CPU)
