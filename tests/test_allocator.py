from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from monai_hyperscale import allocator

# Faults of ten arrays of 64 MB that are made and freed in turn, before and after.
PROGRAM = """
import json, resource, runpy, sys
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(2**26, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep = runpy.run_path(sys.argv[1])["keep_freed_memory"]
print(json.dumps([faults(), keep(), faults(), faults()]))
"""


def run(**environment: str) -> list:
    clean = {name: value for name, value in os.environ.items() if name not in allocator._ENVIRONMENT}
    command = [sys.executable, "-c", PROGRAM, allocator.__file__]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults of glibc's allocator")
def test_arrays_come_from_pages_that_are_there() -> None:
    before, done, _, after = run()
    if not done:
        pytest.skip("not glibc's allocator")
    # Every array had pages of its own, each a fault (of huge pages a few), then none has.
    assert before >= 10 and after < before / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="page faults of glibc's allocator")
def test_what_the_environment_says_is_left_alone() -> None:
    before, done, after, _ = run(MALLOC_TRIM_THRESHOLD_="131072")
    assert not done and after >= before / 2


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    assert allocator.keep_freed_memory() is False
