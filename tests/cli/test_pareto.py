from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.cli.main import main
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.search import read_frontier
from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))


@pytest.fixture
def network(write_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "net", 2, channels=("grey",))


def arguments(network: Path, dataset: Path, out: Path, *more: str) -> list[str]:
    quick = ["--phi", "0.1,0.5", "--repeats", "1", "--no-memory", "--bootstrap", "100"]
    return ["pareto", str(network), "--dataset", str(dataset), "-o", str(out), *quick, *more]


def test_it_measures_prints_and_writes(network: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert main(arguments(network, dataset, out)) == 0
    names = {"frontier.json", "frontier.csv", "frontier_cases.csv", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    frontier = read_frontier(out)
    assert [row.phi for row in frontier.rows] == [(0.1,), (0.5,)] and frontier.data["name"] == "shapes"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["phi", "GFLOPs", "ms", "Dice"] and len(lines) == 3
    assert lines[2].split()[0] == "0.5" and f"{frontier.rows[1].score.mean:.4f}" in lines[2]
    assert "</html>" in (out / "report.html").read_text()
    # Nothing of this machine's folders.
    assert not any(str(tmp_path) in (out / name).read_text() for name in names)


def test_it_goes_on_after_an_interruption(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls, measure = tmp_path / "out", [], SegmentationWorkload.measure

    def measured(self: Any, index: int, run: Any) -> Any:
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(index)
        return measure(self, index, run)

    monkeypatch.setattr(SegmentationWorkload, "measure", measured)
    assert main(arguments(network, dataset, out, "--no-report")) == 130
    assert "the same command goes on" in capsys.readouterr().err and not (out / "frontier.json").exists()
    # Another command does not.
    assert main([*arguments(network, dataset, out, "--no-report"), "--metric", "iou"]) == 1
    assert "unfinished sweep with another metric" in capsys.readouterr().err
    monkeypatch.setattr(SegmentationWorkload, "measure", measure)
    assert main(arguments(network, dataset, out, "--no-report")) == 0
    told = f"going on where an earlier sweep stopped: 3 of 6 scores are in {out / 'unfinished'}\n"
    assert told in capsys.readouterr().err
    assert len(read_frontier(out).rows) == 2
    assert not (out / "unfinished").exists() and not (out / "report.html").exists()


def test_validation_cases_are_measured_where_the_network_knows_them(
    write_bundle: Callable[..., Path], network: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    facts = {"data": "shapes", "cases": {"train": [], "validation": ["case_001"], "test": ["case_000", "case_002"]}}
    knowing = write_bundle(tmp_path / "knowing", 2, channels=("grey",), provenance=facts)
    for more, names in (((), ["case_001"]), (("--cases", "test"), ["case_000", "case_002"])):
        out = tmp_path / f"out{len(names)}"
        assert main(arguments(knowing, dataset, out, "--no-report", *more)) == 0
        assert read_frontier(out).data["cases"] == names and "warning" not in capsys.readouterr().err
    # Of other data all are new to it.
    assert main(arguments(network, dataset, tmp_path / "out", "--no-report")) == 0
    assert (
        "warning: the network does not know which cases of shapes are for validation; all 3 test cases are measured, "
        "and what is chosen on them needs others to confirm it.\n"
    ) in capsys.readouterr().err
    assert read_frontier(tmp_path / "out").data["part"] == "test"


def test_what_is_measured_is_not_measured_again(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert main(arguments(network, dataset, out, "--no-report")) == 0
    before = (out / "frontier.json").read_bytes()
    capsys.readouterr()
    monkeypatch.setattr("monai_hyperscale.search.frontier.sweep", None)
    assert main(arguments(network, dataset, out)) == 0
    told = capsys.readouterr().err
    assert "has been measured already" in told and told.endswith(f"\nwrote {out / 'report.html'}\n")
    assert (out / "frontier.json").read_bytes() == before and (out / "report.html").exists()
    assert main([*arguments(network, dataset, out), "--limit", "1"]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    for option in (["--repeats", "2"], ["--size", "16,16"], ["--bootstrap", "9", "--seed", "1"]):
        assert main([*arguments(network, dataset, out), *option]) == 2
        told = " and ".join(sorted(option[::2], reverse=True))
        assert f"measured with another {told}; add --overwrite" in capsys.readouterr().err
    monkeypatch.undo()
    # The page of the earlier results goes with them.
    assert main([*arguments(network, dataset, out, "--no-report"), "--limit", "1", "--overwrite"]) == 0
    assert len(read_frontier(out).data["cases"]) == 1 and not (out / "report.html").exists()


def test_the_page_tells_what_other_cases_score(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    assert main([*arguments(network, dataset, other, "--no-report"), "--limit", "1"]) == 0
    assert main([*arguments(network, dataset, out), "--confirm", str(other)]) == 0
    page = (out / "report.html").read_text()
    assert "1 of the cases to confirm on are among those" in capsys.readouterr().err
    # With its pictures, which `report` cannot make.
    assert "data:image/png" in page and "onfirmed on" in page
    # What cannot confirm is told before anything is measured.
    monkeypatch.setattr("monai_hyperscale.search.frontier.sweep", None)
    changed = tmp_path / "changed.json"
    facts = json.loads((other / "frontier.json").read_text())
    facts["bundle"]["weights_sha256"] = "0" * 64
    changed.write_text(json.dumps(facts))
    assert main([*arguments(network, dataset, tmp_path / "new"), "--confirm", str(changed)]) == 1
    assert "is of other weights" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert main([*arguments(network, dataset, out, "--no-report"), "--confirm", str(other)]) == 2
    assert "--confirm is for the report" in capsys.readouterr().err
    assert main([*arguments(network, dataset, out), "--confirm", str(tmp_path / "none")]) == 2
    for itself in (out, out / "frontier.json"):
        assert main([*arguments(network, dataset, out), "--confirm", str(itself), "--overwrite"]) == 2
        assert "name another folder" in capsys.readouterr().err and (out / "frontier.json").exists()


def test_registration(
    write_registration_bundle: Callable[..., Path], dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    network = write_registration_bundle(tmp_path / "net", 2, channels=("grey",), sizes=(32, 32))
    assert main([*arguments(network, dataset, tmp_path / "out"), "--limit", "2"]) == 0
    frontier = read_frontier(tmp_path / "out")
    assert frontier.task == "registration" and frontier.rows[0].extra["folded"].mean is not None
    header, first, _ = capsys.readouterr().out.splitlines()
    assert "before  folded %" in header and f"{frontier.rows[0].extra['before'].mean:.4f}" in first
    assert "</html>" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--phi", "0.7"], 2, "trained for phi from 0 to 0.5, got 0.7"),
        (["--phi", "a"], 2, "phi is a number between 0 and 1"),
        (["--phi", "0.1,0.2;"], 2, "one phi for all levels"),
        (["--metric", "dicee"], 2, "did you mean dice?"),
        (["--tolerance", "2"], 2, "takes no tolerance"),
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
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, more: list[str], code: int, message: str
) -> None:
    out, file = tmp_path / "out", tmp_path / "file"
    file.write_text("mine")
    assert main([*arguments(network, dataset, out), *(word.format(file=file) for word in more)]) == code
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(error) == 1 and message in error[0]
    assert not list(out.glob("frontier*")) and file.read_text() == "mine"


def test_damaged_files_are_told_and_a_frontier_is_measured_again_as_the_sentence_says(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    other = tmp_path / "other"
    shutil.copytree(network, other)
    (other / "models" / "model.pt").write_bytes(b"PK")
    assert main(arguments(other, dataset, tmp_path / "out")) == 2
    command = arguments(network, dataset, tmp_path / "out", "--no-report")
    assert main(command) == 0
    path = tmp_path / "out" / "frontier.json"
    way_out = "; add --overwrite to measure again, or name another folder with -o."
    for text, told in ((path.read_text()[:300], "is damaged or cut off ("), ('{"kind": "frontier"}', "is not a fr")):
        path.write_text(text)
        capsys.readouterr()
        assert main(command) == 1 and path.read_text() == text
        *_, error = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: {path} {told}") and error.endswith(way_out)
    assert main([*command, "--overwrite"]) == 0
    assert [row.phi for row in read_frontier(path).rows] == [(0.1,), (0.5,)]


def test_files_of_the_same_names_stay_unless_told_otherwise(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    names = ["frontier.csv", "frontier_cases.csv", "report.html"]
    for name in names:
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("mine")
        command = [*arguments(network, dataset, out), "--limit", "1"]
        assert main(command) == 2
        assert f"{out} has a {name} but no frontier.json; name another folder with -o" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"
    # A page is not in the way of a sweep without one.
    assert main([*command, "--no-report"]) == 0 and (out / name).read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert (out / name).read_text() != "mine"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_files_in_the_place_of_unfinished_sweeps_are_refused_and_stay(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, overwrite: list[str]
) -> None:
    out = tmp_path / "out"
    (out / "unfinished").mkdir(parents=True)
    (out / "unfinished" / "novel.txt").write_text("chapter 1")
    (out / "parts").mkdir()
    (out / "frontier.json").write_text("old") if overwrite else None
    assert main([*arguments(network, dataset, out), *overwrite]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert error == [
        f"error: {out / 'unfinished'} holds what no sweep wrote (novel.txt); move it away, or name another folder "
        "with -o."
    ]
    assert (out / "unfinished" / "novel.txt").read_text() == "chapter 1" and (out / "parts").is_dir()
    assert not overwrite or (out / "frontier.json").read_text() == "old"


def test_options_are_kept_without_folders_and_memory_says_what_it_is_of(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    command = ["pareto", str(network), f"--dataset={dataset}", "-o", str(tmp_path / "out")]
    assert main([*command, "--phi=0.1", "--repeats=0", "--limit=1", "--no-report"]) == 0
    frontier, told = read_frontier(tmp_path / "out"), capsys.readouterr()
    words = frontier.options["command"]
    assert words[:4] == ["monai-hyperscale", "pareto", network.name, f"--dataset={dataset.name}"]
    assert words[-4:] == ["--phi=0.1", "--repeats=0", "--limit=1", "--no-report"]
    assert frontier.options["processes"] == 1 and frontier.options["memory"] is True
    note = "working memory is the peak of one inference, beside the weights, the image and the process\n"
    if frontier.rows[0].memory is not None:  # where the system tells it
        assert told.out.splitlines()[0].split()[:4] == ["phi", "GFLOPs", "MB", "working"] and note in told.err
