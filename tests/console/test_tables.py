from __future__ import annotations

import pytest

from monai_hyperscale.console.tables import print_table

ROWS = [["0.1", "0.8123", "flops"], ["0.25", "0.9", ""]]


def test_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(ROWS, ["phi", "Dice", "best"], left=[2])
    assert capsys.readouterr().out == " phi    Dice  best\n 0.1  0.8123  flops\n0.25     0.9\n"


def test_long_lines_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([["names", "[b] " + "x " * 300]])
    assert capsys.readouterr().out == "names  [b] " + ("x " * 300).rstrip() + "\n"


def test_ruled_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_table(ROWS, ["phi", "Dice", "best"], left=[2])
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert "Dice" in header and set(rule.strip()) == {"─"} and "0.8123" in rows[0]
    assert max(map(len, rows)) <= 40
