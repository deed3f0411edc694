from __future__ import annotations

import threading
import time

import pytest
from monai.transforms import Transform

from monai_hyperscale.data.caching import CachedCases


class _Read(Transform):
    """Adds one, slowly; the first case is damaged where ``damaged`` says so."""

    def __init__(self, damaged=False):
        self.damaged = damaged
        self.begun = []

    def __call__(self, case):
        self.begun.append(case)
        if case == 0 and self.damaged:
            time.sleep(0.05)
            raise ValueError("damaged")
        time.sleep(0.3 if self.damaged else 0)
        return case + 1


def test_no_thread_outlives_an_error():
    """What runs on within torch while the program ends makes the C++ runtime abort it."""
    read, before = _Read(damaged=True), threading.active_count()
    with pytest.raises(RuntimeError, match="_Read"):
        CachedCases(range(20), read, num_workers=3, progress=False)
    assert threading.active_count() == before
    assert len(read.begun) < 20


def test_order_and_share():
    read = _Read()
    cases = CachedCases(range(10), read, cache_rate=0.5, num_workers=4, progress=False)
    assert sorted(read.begun) == [0, 1, 2, 3, 4]
    assert [cases[index] for index in range(10)] == list(range(1, 11))
    assert read.begun[5:] == [5, 6, 7, 8, 9]
    assert len(CachedCases(range(3), _Read(), cache_rate=0.0, progress=False)) == 3
