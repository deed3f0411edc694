from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload
from tests.cli.commands import Run, Said, Write


@pytest.fixture
def pareto(run: Run, network: Path, dataset: Path, tmp_path: Path) -> Run:
    """Return a function that sweeps two phi of a network on three images, into ``out``."""
    quick = ["--phi", "0.1,0.5", "--repeats", 1, "--no-memory", "--bootstrap", 100]
    usual = ["--dataset", dataset, "-o", tmp_path / "out", *quick]

    def call(*words: object, of: Path = network, code: int = 0) -> Said:
        return run("pareto", of, *usual, *words, code=code)

    return call


def test_it_measures_prints_and_writes(tmp_path: Path, pareto: Run) -> None:
    out, lines = tmp_path / "out", pareto().out.splitlines()
    names = {"frontier.json", "frontier.csv", "frontier_cases.csv", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    frontier = read_frontier(out)
    assert [row.phi for row in frontier.rows] == [(0.1,), (0.5,)] and frontier.data["name"] == "shapes"
    assert lines[0].split()[:4] == ["phi", "GFLOPs", "ms", "Dice"] and len(lines) == 4
    assert lines[2].split()[0] == "0.5" and f"{frontier.rows[1].score.mean:.4f}" in lines[2]
    assert lines[3].startswith("Every phi scores 0")  # of a network that was not trained
    assert "</html>" in (out / "report.html").read_text()
    # Nothing of this machine's folders.
    assert not any(str(tmp_path) in (out / name).read_text() for name in names)


def test_it_goes_on_after_an_interruption(tmp_path: Path, pareto: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out, calls, measure = tmp_path / "out", [], SegmentationWorkload.measure

    def measured(self: Any, index: int, run: Any) -> Any:
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(index)
        return measure(self, index, run)

    monkeypatch.setattr(SegmentationWorkload, "measure", measured)
    assert "the same command goes on" in pareto("--no-report", code=130).err and not (out / "frontier.json").exists()
    # Another command does not.
    assert "unfinished sweep with another metric" in pareto("--no-report", "--metric", "iou", code=1).err
    monkeypatch.setattr(SegmentationWorkload, "measure", measure)
    told = f"going on where an earlier sweep stopped: 3 of 6 scores are in {out / 'unfinished'}\n"
    assert told in pareto("--no-report").err
    assert len(read_frontier(out).rows) == 2
    assert not (out / "unfinished").exists() and not (out / "report.html").exists()


def test_validation_cases_are_measured_where_the_network_knows_them(
    write_bundle: Write, tmp_path: Path, pareto: Run
) -> None:
    facts = {"data": "shapes", "cases": {"train": [], "validation": ["case_001"], "test": ["case_000", "case_002"]}}
    knowing = write_bundle(tmp_path / "knowing", 2, channels=("grey",), provenance=facts)
    for more, names in (((), ["case_001"]), (("--cases", "test"), ["case_000", "case_002"])):
        out = tmp_path / f"out{len(names)}"
        assert "warning" not in pareto("-o", out, "--no-report", *more, of=knowing).err
        assert read_frontier(out).data["cases"] == names
    # Of other data all are new to it.
    assert (
        "warning: the network does not know which cases of shapes are for validation; all 3 test cases are measured, "
        "and what is chosen on them needs others to confirm it.\n"
    ) in pareto("--no-report").err
    assert read_frontier(tmp_path / "out").data["part"] == "test"


def test_what_is_measured_is_not_measured_again(tmp_path: Path, pareto: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    pareto("--no-report")
    before = (out / "frontier.json").read_bytes()
    monkeypatch.setattr("monai_hyperscale.search.frontier.sweep", None)
    told = pareto().err
    assert "has been measured already" in told and told.endswith(f"\nwrote {out / 'report.html'}\n")
    assert (out / "frontier.json").read_bytes() == before and (out / "report.html").exists()
    assert "add --overwrite" in pareto("--limit", 1, code=2).err
    for option in (["--repeats", "2"], ["--size", "16,16"], ["--bootstrap", "9", "--seed", "1"]):
        told = " and ".join(sorted(option[::2], reverse=True))
        assert f"measured with another {told}; add --overwrite" in pareto(*option, code=2).err
    monkeypatch.undo()
    # The page of the earlier results goes with them.
    pareto("--no-report", "--limit", 1, "--overwrite")
    assert len(read_frontier(out).data["cases"]) == 1 and not (out / "report.html").exists()


def test_the_page_tells_what_other_cases_score(tmp_path: Path, pareto: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    pareto("-o", other, "--no-report", "--limit", 1)
    assert "1 of the cases to confirm on are among those" in pareto("--confirm", other).err
    page = (out / "report.html").read_text()
    # With its pictures, which `report` cannot make.
    assert "data:image/png" in page and "onfirmed on" in page
    # What cannot confirm is told before anything is measured.
    monkeypatch.setattr("monai_hyperscale.search.frontier.sweep", None)
    changed = tmp_path / "changed.json"
    facts = json.loads((other / "frontier.json").read_text())
    facts["bundle"]["weights_sha256"] = "0" * 64
    changed.write_text(json.dumps(facts))
    said = pareto("-o", tmp_path / "new", "--confirm", changed, code=1).err
    assert "is of other weights" in said and not (tmp_path / "new").exists()
    assert "--confirm is for the report" in pareto("--no-report", "--confirm", other, code=2).err
    pareto("--confirm", tmp_path / "none", code=2)
    for itself in (out, out / "frontier.json"):
        assert "name another folder" in pareto("--confirm", itself, "--overwrite", code=2).err
        assert (out / "frontier.json").exists()


def test_registration(write_registration_bundle: Write, tmp_path: Path, pareto: Run) -> None:
    network = write_registration_bundle(tmp_path / "reg", 2, channels=("grey",), sizes=(32, 32))
    header, first, _ = pareto("--limit", 2, of=network).out.splitlines()
    frontier = read_frontier(tmp_path / "out")
    assert frontier.task == "registration" and frontier.rows[0].extra["folded"].mean is not None
    assert "before  folded %" in header and f"{frontier.rows[0].extra['before'].mean:.4f}" in first
    assert "</html>" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--phi", "0.7"], 2, "trained for phi from 0 to 0.5, got 0.7"),
        (["--phi", "0.1,0.2;"], 2, "one phi for all levels"),
        (["--metric", "dicee"], 2, "did you mean dice?"),
        (["--cases", "validation"], 1, "does not know which cases"),
        (["--size", "1,2,3"], 1, "a size of 2 numbers"),
        (["--device", "quantum"], 2, "device must be"),
        (["--regularization", "0.5"], 2, "takes phi, not regularization"),
        (["--dataset", "{file}.none"], 2, "does not exist"),
        (["-o", "{file}/out"], 2, "cannot be made"),
        (["-o", "{file}"], 2, "--output is a folder, but"),
        (["--seed", "-1"], 2, "-1 is not in the range 0<=x<=4294967295"),
        (["--seed", str(2**32)], 2, "4294967296 is not in the range"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_written(
    tmp_path: Path, pareto: Run, more: list[str], code: int, message: str
) -> None:
    out, file = tmp_path / "out", tmp_path / "file"
    file.write_text("mine")
    said = pareto(*(word.format(file=file) for word in more), code=code)
    error = [line for line in said.err.splitlines() if "error:" in line]
    assert len(error) == 1 and message in error[0]
    assert not list(out.glob("frontier*")) and file.read_text() == "mine"


def test_damaged_files_are_told_and_a_frontier_is_measured_again_as_the_sentence_says(
    network: Path, tmp_path: Path, pareto: Run
) -> None:
    other, path = tmp_path / "other", tmp_path / "out" / "frontier.json"
    shutil.copytree(network, other)
    (other / "models" / "model.pt").write_bytes(b"PK")
    pareto(of=other, code=2)
    pareto("--no-report")
    way_out = "; add --overwrite to measure again, or name another folder with -o."
    for text, told in ((path.read_text()[:300], "is damaged or cut off ("), ('{"kind": "frontier"}', "is not a fr")):
        path.write_text(text)
        *_, error = pareto("--no-report", code=1).err.splitlines()
        assert error.startswith(f"error: {path} {told}") and error.endswith(way_out) and path.read_text() == text
    pareto("--no-report", "--overwrite")
    assert [row.phi for row in read_frontier(path).rows] == [(0.1,), (0.5,)]


def test_files_of_the_same_names_stay_unless_told_otherwise(tmp_path: Path, pareto: Run) -> None:
    for name in ("frontier.csv", "frontier_cases.csv", "report.html"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("mine")
        words = ["-o", out, "--limit", 1]
        told = f"{out} has a {name} but no frontier.json; name another folder with -o"
        assert told in pareto(*words, code=2).err
        assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"
    # A page is not in the way of a sweep without one.
    pareto(*words, "--no-report")
    assert (out / name).read_text() == "mine"
    pareto(*words, "--overwrite")
    assert (out / name).read_text() != "mine"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_files_in_the_place_of_unfinished_sweeps_are_refused_and_stay(
    tmp_path: Path, pareto: Run, overwrite: list[str]
) -> None:
    out = tmp_path / "out"
    (out / "unfinished").mkdir(parents=True)
    (out / "unfinished" / "novel.txt").write_text("chapter 1")
    (out / "parts").mkdir()
    (out / "frontier.json").write_text("old") if overwrite else None
    told = "holds what no sweep wrote (novel.txt); move it away, or name another folder with -o."
    assert pareto(*overwrite, code=1).error == f"error: {out / 'unfinished'} {told}"
    assert (out / "unfinished" / "novel.txt").read_text() == "chapter 1" and (out / "parts").is_dir()
    assert not overwrite or (out / "frontier.json").read_text() == "old"


def test_options_are_kept_without_folders_and_memory_says_what_it_is_of(
    network: Path, dataset: Path, tmp_path: Path, run: Run
) -> None:
    options = ["--phi=0.1", "--repeats=0", "--limit=1", "--no-report"]
    told = run("pareto", network, f"--dataset={dataset}", "-o", tmp_path / "out", *options)
    frontier = read_frontier(tmp_path / "out")
    words = frontier.options["command"]
    assert words[:4] == ["monai-hyperscale", "pareto", network.name, f"--dataset={dataset.name}"]
    assert words[-4:] == options
    assert frontier.options["processes"] == 1 and frontier.options["memory"] is True
    note = "working memory is the peak of one inference, beside the weights, the image and the process\n"
    if frontier.rows[0].memory is not None:  # where the system tells it
        assert told.out.splitlines()[0].split()[:4] == ["phi", "GFLOPs", "MB", "working"] and note in told.err
