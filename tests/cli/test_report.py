from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Run, full_disk
from tests.report.made_up import segmentation_results, without_cost


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "frontier.json"
    path.parent.mkdir()
    path.write_text(json.dumps(without_cost(segmentation_results(5, 2), "flops", "latency")))
    return path


def test_page_and_figures(results: Path, tmp_path: Path, run: Run) -> None:
    page, figures = tmp_path / "out" / "report.html", tmp_path / "figures"
    said = run("report", results, "-o", page, "--figures", figures).err
    assert said == f"wrote {page} and 4 figures in {figures}\n"
    assert "sshn_seg on Task04_Hippocampus" in page.read_text(encoding="utf-8")
    assert len(list(figures.iterdir())) == 4
    # The folder of results will do.
    run("report", results.parent, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").is_file()


def test_outputs_that_exist_stay(results: Path, tmp_path: Path, run: Run) -> None:
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    page.write_text("before")
    words = ["report", results, "-o", page, "--figures", figures]
    assert run(*words, code=2).err == f"error: {page} exists already; add --overwrite.\n"
    assert page.read_text() == "before" and not figures.exists()
    page.unlink()
    figures.mkdir()
    (figures / "score_memory.svg").write_text("before")
    way_out = "add --overwrite, or name another folder with --figures."
    assert run(*words, code=2).err == f"error: {figures / 'score_memory.svg'} exists already; {way_out}\n"
    assert not page.exists() and len(list(figures.iterdir())) == 1
    run(*words, "--overwrite")
    assert page.is_file() and len(list(figures.iterdir())) == 4


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        *(("frontier.json", text, "") for text in ("", "{", "[]", '{"kind": "frontier", "format": 7}', "\ufffd")),
        ("frontier.json", '{"kind": "frontier"', "is damaged or cut off"),
        ("frontier.csv", "phi,flops\n", "name the frontier.json beside it"),
    ],
)
def test_results_that_cannot_be_read(name: str, content: str, said: str, tmp_path: Path, run: Run) -> None:
    results = tmp_path / name
    results.write_text(content)
    words = ["report", results, "-o", tmp_path / "report.html", "--figures", tmp_path / "figures"]
    error = run(*words, code=1).err
    assert error.startswith("error: ") and error.count("\n") == 1 and str(results) in error and said in error
    assert sorted(tmp_path.iterdir()) == [results]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["-o", "report.pdf"], "--output is a file that ends in .html or .htm, got report.pdf."),
        (["-o", "file/report.html"], "folder file cannot be made ("),
        (["-o", "report.html", "--figures", "file"], "--figures is a folder, but file is a file."),
        (["-o", "report.html", "--figures", "file/figures"], "folder file/figures cannot be made"),
    ],
)
def test_outputs_that_cannot_be(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, outputs: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    error = run("report", results, *outputs, code=2).err
    assert said in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "results"]


def test_full_disk(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("os.fsync", full_disk)
    said = run("report", results, "-o", tmp_path / "report.html", code=1).err
    assert said == "error: the outputs cannot be written (No space left on device).\n"
    assert sorted(tmp_path.iterdir()) == [results.parent]


@pytest.fixture
def confirming(tmp_path: Path) -> dict[str, Any]:
    """Return results of other cases, of the same network."""
    other = segmentation_results(5, 3)
    names = ["x", "y", "z"]
    for row in other["rows"]:
        row["cases"] = dict(zip(names, row["cases"].values(), strict=True))
    return {**other, "data": {"name": "Task04_Hippocampus", "part": "test", "cases": names}}


def test_choices_are_confirmed_on_other_cases(
    results: Path, confirming: dict[str, Any], tmp_path: Path, run: Run
) -> None:
    other, page = tmp_path / "test.json", tmp_path / "report.html"
    other.write_text(json.dumps(confirming))
    assert run("report", results, "--confirm", other, "-o", page).err == f"wrote {page}\n"
    assert "Dice, 3 other test cases" in page.read_text(encoding="utf-8")
    said = "warning: 2 of the cases to confirm on are among those that the choice was made on.\n"
    words = ["--confirm", results.parent, "-o", page, "--overwrite"]
    assert run("report", results, *words).err == f"{said}wrote {page}\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bundle": {"name": "sshn_seg", "weights_sha256": "0" * 64, "settings": {}}}, "of other weights than"),
        ({"rows": 0.11}, "has none of the phi to choose among; measure some of them there too"),
        ({"rows": []}, "is not a frontier that this version reads"),
    ],
)
def test_what_cannot_confirm_is_told_and_nothing_is_written(
    results: Path, confirming: dict[str, Any], tmp_path: Path, run: Run, change: dict[str, Any], said: str
) -> None:
    if change.get("rows"):
        change = {"rows": [{**confirming["rows"][0], "phi": [change["rows"]]}]}
    if "rows" in change:
        change |= {"pareto": {}, "knee": {}, "hypervolume": {}}
    other = tmp_path / "test.json"
    other.write_text(json.dumps({**confirming, **change}))
    words = ["--confirm", other, "-o", tmp_path / "report.html", "--figures", tmp_path / "figures"]
    error = run("report", results, *words, code=1).err
    assert error.startswith(f"error: {other} ") and said in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [results.parent, other]


def test_no_such_results(results: Path, tmp_path: Path, run: Run) -> None:
    missing = tmp_path / "none.json"
    said = f"error: frontier {missing} does not exist; name the frontier.json that pareto wrote, or its folder.\n"
    for words in ([missing], [results, "--confirm", missing]):
        assert run("report", *words, "-o", tmp_path / "report.html", code=2).err == said
