"""Write `recorded.json`: `python -m tests.characterisation.record [RUN ...]`, where a change of behaviour is meant."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.characterisation.runs import RUNS

RECORDED = Path(__file__).with_name("recorded.json")


def record(names: list[str]) -> None:
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for name in names or list(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            recorded[name] = RUNS[name](Path(folder))
    RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:])
