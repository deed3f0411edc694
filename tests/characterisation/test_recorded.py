"""Commands, exit codes and files are what they were; see `runs.py` for what is run, `record.py` for how to renew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.characterisation.record import RECORDED
from tests.characterisation.runs import RUNS

# Relative and absolute tolerance of the numbers under a name: other processors round otherwise.
TOLERANCES = {
    "volumes": (5e-3, 0),
    "mean": (1e-3, 0),
    "std": (1e-3, 0),
    "max": (1e-3, 0),
    "dice": (0, 1e-3),
    "correlation": (0, 1e-3),
    "by affine": (0, 1e-2),  # SimpleITK's optimiser stops a step sooner or later
    "folded_share": (0, 1e-4),
    "share": (0, 1e-3),
    "score": (0, 1e-3),
    "cases": (0, 2e-3),
    "flops and score": (0, 2e-3),
    "figures": (0, 1e-2),  # the bounds of an interval too
    "largest_difference": (0, 1e-4),
    "label_agreement": (0, 1e-3),
    "at": (1e-3, 1e-4),
    "affine": (0, 1e-6),
    "grid": (0, 1e-6),
}


def differences(old: Any, new: Any, path: str = "", within: tuple[float, float] = (0, 0)) -> list[str]:
    """Return where ``new`` is not ``old``; names that are new in a dictionary are no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{path}/{name}: gone" for name in old if name not in new]
        both = [(name, old[name], new[name]) for name in old if name in new]
        return missing + [
            text for name, a, b in both for text in differences(a, b, f"{path}/{name}", TOLERANCES.get(name, within))
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [text for place, (a, b) in pairs for text in differences(a, b, f"{path}/{place}", within)]
    if isinstance(old, float | int) and isinstance(new, float | int):
        relative, absolute = within
        same = new == pytest.approx(old, rel=relative, abs=absolute, nan_ok=True)
        return [] if same else [f"{path}: {new}, not {old}"]
    return [] if old == new else [f"{path}: {new!r}, not {old!r}"]


@pytest.mark.parametrize("name", sorted(RUNS))
def test_as_recorded(name: str, tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text())[name]
    found = json.loads(json.dumps(RUNS[name](tmp_path)))
    assert not differences(recorded, found)


def test_the_comparison_sees_what_matters() -> None:
    old = {"volumes": {"1": 1000}, "keys": {"a": {}, "b": {}}, "files": ["x"], "flops": 10**9, "score": 0.9}
    assert differences(old, old | {"volumes": {"1": 1004}, "score": 0.9009, "new": 1}) == []
    changed = {"volumes": {"1": 1006}, "keys": {"a": {}}, "files": ["x", "y"], "flops": 10**9 + 1, "score": 0.8}
    places = [text.partition(":")[0] for text in differences(old, changed)]
    assert places == ["/volumes/1", "/keys/b", "/files", "/flops", "/score"]
    assert differences({"out": ""}, {"out": "x"}) and differences({"traceback": False}, {"traceback": True})
