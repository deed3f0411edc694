from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monai_hyperscale import __version__
from monai_hyperscale.cli import info
from monai_hyperscale.cli.main import build_parser, main

COMMANDS = ("segment", "register", "apply-field", "pareto", "choose", "report", "analyze", "info", "fold")


def exit_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    code = caught.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("arguments", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_tells_the_exit_codes(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(*arguments) == 0
    text = capsys.readouterr().out
    for code in ("0    done", "1    some or all images failed", "2    wrong arguments", "130  interrupted"):
        assert code in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of("--version") == 0
    assert capsys.readouterr().out.strip() == f"monai-hyperscale {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [(), ("unknown",), ("info", "--unknown"), ("segment", "scan.nii", "-o", "seg.nii", "--ph", "0.3"), ("--vers",)],
)
def test_wrong_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_of(*arguments) == 2
    assert "error:" in capsys.readouterr().err


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from monai_hyperscale.cli.main import main
try:
    main(["segment", "--help"])
except SystemExit:
    pass
heavy = {"torch", "monai", "numpy", "nibabel", "SimpleITK", "matplotlib"} & set(sys.modules)
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
    def broken(args: argparse.Namespace) -> int:
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(info, "run", broken)
    assert main(["info"]) == 1
    err = capsys.readouterr().err
    assert err == "error: unexpected ZeroDivisionError: division by zero; run with --debug for the traceback\n"
    assert main(["info", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_kill_is_an_interruption_and_the_handler_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(args: argparse.Namespace) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(info, "run", killed)
    assert main(["info"]) == 130
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_reader_that_goes_away(bundle: Path) -> None:
    command = f"{sys.executable} -m monai_hyperscale info {bundle} | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert result.stderr == ""


def test_every_command_has_help_for_every_argument() -> None:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert tuple(action.choices) == COMMANDS
            for parser in action.choices.values():
                assert all(argument.help for argument in parser._actions)
