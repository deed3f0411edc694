from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from monai_hyperscale import __version__
from monai_hyperscale.cli.main import OWN, main, program
from monai_hyperscale.tasks import TASKS, task_named

COMMANDS = ("segment", "register", "apply-field", "pareto", "choose", "report", "analyze", "info", "fold")
HEAVY = ("torch", "monai", "numpy", "nibabel", "SimpleITK", "matplotlib")


@pytest.mark.parametrize("arguments", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_tells_the_exit_codes(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    for code in ("0    done", "1    some or all images failed", "2    wrong arguments", "130  interrupted"):
        assert code in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"monai-hyperscale {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [(), ("unknown",), ("info", "--unknown"), ("segment", "scan.nii", "-o", "seg.nii", "--ph", "0.3"), ("--vers",)],
)
def test_wrong_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage", "guess"),
    [
        (["segmant", "scan.nii"], "Usage: monai-hyperscale [OPTIONS] COMMAND", "Did you mean 'segment'?"),
        (["segment", "scan.nii", "-o", "a.nii", "--volume", "v.json"], "segment [OPTIONS] IMAGE...", "'--volumes'?"),
        (["segment", "scan.nii", "-o", "a.nii", "--fi", "0.3"], "segment [OPTIONS] IMAGE...", "'--phi'"),
        (["register", "a.nii", "b.nii", "--fixed-label", "c.nii"], "register [OPTIONS] MOVING FIXED", "--fixed-labels"),
        (["analyze", "transfr"], "analyze [OPTIONS] COMMAND", "Did you mean 'transfer'?"),
    ],
)
def test_mistyped_names_are_guessed(
    arguments: list[str], usage: str, guess: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told, *_, error = capsys.readouterr().err.splitlines()
    assert usage in told and error.startswith("error: No such") and guess in error


def test_options_that_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "a.nii", "b.nii", "-o", "c.nii", "--affine", "--centres"]) == 2
    assert "error: --affine and --centres exclude each other; name one." in capsys.readouterr().err


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from monai_hyperscale.cli.main import main
for command in ([], *([name] for name in {COMMANDS})):
    assert main([*command, "--help"]) == 0
heavy = {set(HEAVY)} & set(sys.modules)
assert not heavy, heavy
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_module_is_the_same_program() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "monai_hyperscale", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (result.returncode, result.stdout.strip()) == (0, f"monai-hyperscale {__version__}")


def test_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(args: object) -> int:
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(program().commands["info"], "callback", broken)
    assert main(["info"]) == 1
    err = capsys.readouterr().err
    assert err == "error: unexpected ZeroDivisionError: division by zero; run with --debug for the traceback\n"
    assert main(["info", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(program().commands["info"], "callback", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_kill_is_an_interruption_and_the_handler_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(args: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(program().commands["info"], "callback", killed)
    assert main(["info"]) == 130
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_reader_that_goes_away(bundle: Path) -> None:
    command = f"{sys.executable} -m monai_hyperscale info {bundle} | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert result.stderr == ""


def all_commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from all_commands(command) if isinstance(command, click.Group) else [command]


def test_every_command_has_help_for_every_argument() -> None:
    of_tasks = [name for task in TASKS for name in task_named(task).commands]
    assert set(COMMANDS) <= set(program().commands) == {*of_tasks, *OWN}
    for command in all_commands(program()):
        assert command.get_short_help_str() and command.help
        assert all(param.help for param in command.params)  # type: ignore[attr-defined]  # of arguments, by rich-click
