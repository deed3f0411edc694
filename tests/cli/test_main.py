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
from monai_hyperscale.cli.main import OWN, program
from monai_hyperscale.tasks import TASKS, task_named
from tests.cli.commands import Run

COMMANDS = ("segment", "register", "apply-field", "pareto", "choose", "report", "analyze", "info", "fold")
HEAVY = ("torch", "monai", "numpy", "nibabel", "SimpleITK", "matplotlib")


@pytest.mark.parametrize("arguments", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_tells_the_exit_codes(arguments: tuple[str, ...], run: Run) -> None:
    text = run(*arguments).out
    for code in ("0    done", "1    some or all images failed", "2    wrong arguments", "130  interrupted"):
        assert code in text


@pytest.mark.parametrize(
    "arguments",
    [(), ("unknown",), ("info", "--unknown"), ("segment", "scan.nii", "-o", "seg.nii", "--ph", "0.3"), ("--vers",)],
)
def test_wrong_usage(arguments: tuple[str, ...], run: Run) -> None:
    assert "error:" in run(*arguments, code=2).err


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
def test_mistyped_names_are_guessed(arguments: list[str], usage: str, guess: str, run: Run) -> None:
    told, *_, error = run(*arguments, code=2).err.splitlines()
    assert usage in told and error.startswith("error: No such") and guess in error


def test_options_that_exclude_each_other(run: Run) -> None:
    said = run("register", "a.nii", "b.nii", "-o", "c.nii", "--affine", "--centres", code=2)
    assert "error: --affine and --centres exclude each other; name one." in said.err


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from monai_hyperscale.cli.main import main
for command in ([], *([name] for name in {COMMANDS})):
    assert main([*command, "--help"]) == 0
heavy = {set(HEAVY)} & set(sys.modules)
assert not heavy, heavy
"""
    result = process(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr


def test_module_is_the_same_program() -> None:
    result = process(sys.executable, "-m", "monai_hyperscale", "--version")
    assert (result.returncode, result.stdout.strip()) == (0, f"monai-hyperscale {__version__}")


def test_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def broken(args: object) -> int:
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(program().commands["info"], "callback", broken)
    told = "error: unexpected ZeroDivisionError: division by zero; run with --debug for the traceback\n"
    assert run("info", code=1).err == told
    assert "Traceback" in run("info", "--debug", code=1).err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_interruption_and_a_kill_alike(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    def killed(args: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    for callback in (interrupted, killed):
        monkeypatch.setattr(program().commands["info"], "callback", callback)
        assert run("info", code=130).err == "interrupted\n"
        assert signal.getsignal(signal.SIGTERM) is before  # the handler of a kill goes


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_reader_that_goes_away(bundle: Path) -> None:
    command = f"{sys.executable} -m monai_hyperscale info {bundle} | true"
    assert process("bash", "-c", command).stderr == ""


def all_commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from all_commands(command) if isinstance(command, click.Group) else [command]


def test_every_command_has_help_for_every_argument() -> None:
    of_tasks = [name for task in TASKS for name in task_named(task).commands]
    assert set(COMMANDS) <= set(program().commands) == {*of_tasks, *OWN}
    for command in all_commands(program()):
        assert command.get_short_help_str() and command.help
        assert all(param.help for param in command.params)  # type: ignore[attr-defined]  # of arguments, by rich-click
