from __future__ import annotations

import threading

import pytest

from monai_hyperscale.inference import stages
from monai_hyperscale.inference.stages import measured, stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    return now


def test_times_add_up_by_name(clock: list[float]) -> None:
    with measured() as seconds:
        for name, length in (("a", 1.0), ("b", 2.0), ("a", 4.0)):
            with stage(name):
                clock[0] += length
            clock[0] += 100
    assert seconds == {"a": 5.0, "b": 2.0}


def test_a_stage_that_fails_counts(clock: list[float]) -> None:
    with measured() as seconds, pytest.raises(OSError), stage("a"):
        clock[0] += 3
        raise OSError
    assert seconds == {"a": 3.0}


def test_nobody_asks() -> None:
    with stage("a"):
        pass
    with measured() as seconds:
        pass
    assert seconds == {}


def test_other_threads_count_for_themselves() -> None:
    def work() -> None:
        with stage("theirs"):
            pass

    with measured() as seconds:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        with stage("ours"):
            pass
    assert list(seconds) == ["ours"]
