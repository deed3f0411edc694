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
    assert {path.name for path in out.iterdir()} == {
        "frontier.json",
        "frontier.csv",
        "frontier_cases.csv",
        "report.html",
    }
    frontier = read_frontier(out)
    assert [row.phi for row in frontier.rows] == [(0.1,), (0.5,)] and frontier.data["name"] == "shapes"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["phi", "GFLOPs", "ms", "Dice"] and len(lines) == 3
    assert lines[2].split()[0] == "0.5" and f"{frontier.rows[1].score.mean:.4f}" in lines[2]
    assert "</html>" in (out / "report.html").read_text()
    # Nothing of this machine's folders.
    assert str(tmp_path) not in (out / "frontier.json").read_text()
    assert str(tmp_path) not in (out / "report.html").read_text()


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
    assert (
        len(read_frontier(out).rows) == 2 and not (out / "unfinished").exists() and not (out / "report.html").exists()
    )


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
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_written(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, more: list[str], code: int, message: str
) -> None:
    out = tmp_path / "out"
    assert main([*arguments(network, dataset, out), *more]) == code
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(error) == 1 and message in error[0]
    assert not list(out.glob("frontier*"))


def test_missing_and_damaged_files_are_told(network: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(arguments(network, tmp_path / "none", tmp_path / "out")) == 2
    assert "does not exist" in capsys.readouterr().err
    other = tmp_path / "other"
    shutil.copytree(network, other)
    (other / "models" / "model.pt").write_bytes(b"PK")
    assert main(arguments(other, dataset, tmp_path / "out")) == 2
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "frontier.json").write_text(json.dumps({"kind": "frontier"}))
    capsys.readouterr()
    assert main(arguments(network, dataset, tmp_path / "out")) == 1
    error = capsys.readouterr().err
    assert "is not a frontier that this version reads" in error and error.endswith("or name another folder with -o.\n")


def test_a_frontier_that_is_cut_off_is_measured_again_as_the_sentence_says(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any
) -> None:
    command = arguments(network, dataset, tmp_path / "out", "--no-report")
    assert main(command) == 0
    path = tmp_path / "out" / "frontier.json"
    whole = path.read_text()
    path.write_text(whole[:300])
    capsys.readouterr()
    for _ in range(2):
        assert main(command) == 1
        *_, error = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: {path} is damaged or cut off (") and path.read_text() == whole[:300]
        assert error.endswith("; add --overwrite to measure again, or name another folder with -o.")
    assert main([*command, "--overwrite"]) == 0
    assert [row.phi for row in read_frontier(path).rows] == [(0.1,), (0.5,)]


@pytest.mark.parametrize("name", ["frontier.csv", "frontier_cases.csv", "report.html"])
def test_files_of_the_same_names_stay_unless_told_otherwise(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    command = [*arguments(network, dataset, out), "--limit", "1"]
    assert main(command) == 2
    assert f"{out} has a {name} but no frontier.json; name another folder with -o" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"
    if name == "report.html":  # not in the way of a sweep without a page
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


def test_memory_says_what_it_is_of(network: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    command = arguments(network, dataset, tmp_path / "out", "--no-report")
    command.remove("--no-memory")
    assert main([*command, "--limit", "1"]) == 0
    told = capsys.readouterr()
    note = "working memory is the peak of one inference, beside the weights, the image and the process\n"
    if read_frontier(tmp_path / "out").rows[0].memory is None:
        pytest.skip("the system does not tell memory")
    assert told.out.splitlines()[0].split()[:5] == ["phi", "GFLOPs", "ms", "MB", "working"] and note in told.err


def test_the_command_is_kept_without_folders(network: Path, dataset: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["pareto", str(network), f"--dataset={dataset}", "-o", str(tmp_path / "out"), "--no-memory"]
    assert main([*command, "--phi=0.1", "--repeats=0", "--limit=1", "--no-report"]) == 0
    options = read_frontier(tmp_path / "out").options
    assert options["command"][:4] == ["monai-hyperscale", "pareto", network.name, f"--dataset={dataset.name}"]
    assert options["command"][-4:] == ["--phi=0.1", "--repeats=0", "--limit=1", "--no-report"]
    assert options["processes"] == 1 and options["memory"] is False


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-o", "{file}/out"], "cannot be made"),
        (["-o", "{file}"], "--output is a folder, but"),
        (["--seed", "-1"], "-1 is not in the range 0<=x<=4294967295"),
        (["--seed", str(2**32)], "4294967296 is not in the range"),
    ],
)
def test_what_would_fail_at_the_end_is_told_at_once(
    network: Path, dataset: Path, tmp_path: Path, capsys: Any, more: list[str], message: str
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    command = [*arguments(network, dataset, tmp_path / "out"), *(word.format(file=file) for word in more)]
    code = main(command)
    error = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert code == 2 and len(error) == 1 and message in error[0] and file.read_text() == "mine"
