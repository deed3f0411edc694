from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_hyperscale.cli.main import main
from tests.report.made_up import segmentation_results


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "frontier.json"
    path.parent.mkdir()
    path.write_text(json.dumps(segmentation_results(5, 2)))
    return path


def test_page_and_figures(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, figures = tmp_path / "out" / "report.html", tmp_path / "figures"
    assert main(["report", str(results), "-o", str(page), "--figures", str(figures)]) == 0
    assert capsys.readouterr().err == f"wrote {page} and 6 figures in {figures}\n"
    assert "sshn_seg on Task04_Hippocampus" in page.read_text(encoding="utf-8")
    assert len(list(figures.iterdir())) == 6


def test_folder_of_results(results: Path, tmp_path: Path) -> None:
    assert main(["report", str(results.parent), "-o", str(tmp_path / "report.html")]) == 0
    assert (tmp_path / "report.html").is_file()


def test_outputs_that_exist_stay(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, figures = tmp_path / "report.html", tmp_path / "figures"
    page.write_text("before")
    command = ["report", str(results), "-o", str(page), "--figures", str(figures)]
    assert main(command) == 2
    assert capsys.readouterr().err == f"error: {page} exists already; add --overwrite.\n"
    assert page.read_text() == "before" and not figures.exists()
    page.unlink()
    figures.mkdir()
    (figures / "score_memory.svg").write_text("before")
    assert main(command) == 2
    assert capsys.readouterr().err == f"error: {figures / 'score_memory.svg'} exists already; add --overwrite.\n"
    assert not page.exists() and len(list(figures.iterdir())) == 1
    assert main([*command, "--overwrite"]) == 0
    assert page.is_file() and len(list(figures.iterdir())) == 6


@pytest.mark.parametrize(
    "content", ["", "{", '{"kind": "frontier"', "[]", '{"kind": "frontier", "format": 7}', "\ufffd"]
)
def test_results_that_cannot_be_read(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, page = tmp_path / "frontier.json", tmp_path / "report.html"
    results.write_text(content)
    assert main(["report", str(results), "-o", str(page), "--figures", str(tmp_path / "figures")]) != 0
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and str(results) in error
    assert sorted(tmp_path.iterdir()) == [results]


def test_truncated_results(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.write_text(results.read_text()[:-500])
    assert main(["report", str(results), "-o", str(tmp_path / "report.html")]) != 0
    assert "is damaged or cut off" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


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
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outputs: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(["report", str(results), *outputs]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "results"]


def test_full_disk(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert main(["report", str(results), "-o", str(tmp_path / "report.html")]) == 1
    assert capsys.readouterr().err == "error: the outputs cannot be written (No space left on device).\n"
    assert sorted(tmp_path.iterdir()) == [results.parent]


def test_no_such_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none.json"), "-o", str(tmp_path / "report.html")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.json'} does not exist.\n"
