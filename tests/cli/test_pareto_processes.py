"""The command line under ``torchrun``: processes share the work, and one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.search import read_frontier
from tests.cli.commands import Write

# Every process notes which files it puts into place.
NOTING = """\
import os
rank, notes, replace = os.environ.get("RANK", "0"), os.environ["NOTES"], os.replace
def noting(source, target, **options):
    with open(notes, "a") as file: file.write(f"{rank} {target}\\n")
    return replace(source, target, **options)
os.replace = noting
"""
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def measured(out: Path) -> dict[str, Any]:
    """Return the results but for what is the machine's own: times, and what is computed of them."""
    content = json.loads((out / "frontier.json").read_text())
    assert content["options"].pop("processes") in (1, 2)
    for row in content["rows"]:
        assert row.pop("latency")["median"] > 0
        row.pop("stages")
    for name in ("pareto", "knee", "hypervolume"):
        content[name].pop("latency")
    return content


@pytest.mark.slow
def test_two_processes_give_the_same_and_write_once(write_bundle: Write, dataset: Path, tmp_path: Path) -> None:
    trained_on = {"data": "shapes", "cases": {"test": ["elsewhere"]}}
    network = write_bundle(tmp_path / "net", 2, channels=("grey",), provenance=trained_on)
    (tmp_path / "noting").mkdir()
    (tmp_path / "noting" / "sitecustomize.py").write_text(NOTING)
    places = [str(tmp_path / "noting"), *filter(None, [os.environ.get("PYTHONPATH")])]
    # PYTHONPATH's is the only sitecustomize; torchrun gives its processes one thread each.
    shared = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}

    def pareto(name: str, *start: str) -> tuple[str, str, list[tuple[str, str]]]:
        # Of the same name, which is in the command that the results tell.
        out, notes = tmp_path / name / "out", tmp_path / f"{name}.txt"
        notes.write_text("")
        command = [sys.executable, *start, "-m", "monai_hyperscale", "pareto", str(network), "--dataset", str(dataset)]
        options = ["-o", str(out), "--phi", "0.1,0.3,0.5", "--repeats", "1", "--no-memory", "--device", "cpu"]
        environment = {**shared, "NOTES": str(notes)}
        result = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        noted = [tuple(line.split(" ", 1)) for line in notes.read_text().splitlines()]
        return result.stdout, result.stderr, [(rank, Path(path).name) for rank, path in noted if str(out) in path]

    table, _, alone = pareto("one")
    shared_table, told, together = pareto("two", *TWO)
    assert measured(tmp_path / "two" / "out") == measured(tmp_path / "one" / "out")
    assert [row.phi for row in read_frontier(tmp_path / "two" / "out").rows] == [(0.1,), (0.3,), (0.5,)]
    results = {"frontier.json", "frontier.csv", "frontier_cases.csv", "report.html"}
    assert {path.name for path in (tmp_path / "two" / "out").iterdir()} == results
    # Results by the first process alone, and once; of every phi each process writes its own share.
    for noted in (alone, together):
        assert [(rank, name) for rank, name in noted if name in results] == [
            ("0", name) for name in ("frontier.csv", "frontier_cases.csv", "frontier.json", "report.html")
        ]
    shares = [
        (rank, f"phi_{phi}{end}.json") for phi in ("0.1", "0.3", "0.5") for rank, end in (("0", ""), ("1", "_p1"))
    ]
    assert {entry for entry in together if entry[1].startswith("phi_")} == set(shares)
    # One table and one word of what was written; times are the third column.
    without_times = [
        [line.split()[:2] + line.split()[3:6] for line in text.splitlines()] for text in (table, shared_table)
    ]
    assert without_times[0] == without_times[1] and len(without_times[0]) == 5  # the last: every phi scores 0
    assert told.count("\nwrote ") == 1
    assert told.count("their scores say nothing of new cases") == 1

    # Repeated, nothing is measured again: only the page is written.
    _, told, again = pareto("two", *TWO)
    assert again == [("0", "report.html")] and told.count("has been measured already") == 1
