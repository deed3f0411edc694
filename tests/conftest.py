"""Fixtures of the whole test suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib: tests have no display

import pytest
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    """Start every test from the same seeds, whatever ran before it."""
    set_determinism(seed=0)
    yield
    set_determinism(seed=None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real scans beside the repository; skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real scans not found: ../shared/data is absent beside the repository")
    return folder
