from __future__ import annotations

import threading

import pytest

from monai_hyperscale.inference import devices
from monai_hyperscale.inference.devices import measured, stage


def test_times_add_up_by_name_of_what_failed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now[0])
    with stage("a"):  # nobody asks
        now[0] += 50
    with measured() as seconds:
        for name, length in (("a", 1.0), ("b", 2.0), ("a", 4.0)):
            with stage(name):
                now[0] += length
            now[0] += 100
        with pytest.raises(OSError), stage("a"):
            now[0] += 3
            raise OSError
    assert seconds == {"a": 8.0, "b": 2.0}


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
