"""What the README and its neighbours tell the user to type exists and works."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from monai_hyperscale.cli.main import program

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("bundles/*/docs/README.md")])
# What the commands of MONAI take besides the entries of the configuration.
RUN_ARGUMENTS = {"run_id", "init_id", "final_id", "config_file", "meta_file", "logging_file", "tracking", "args_file"}
RUN_ARGUMENTS |= {"workflow_type", "workflow_name"}


def blocks(document: Path, languages: tuple[str, ...]) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [
        body for lang, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if lang in languages
    ]


def commands(document: Path) -> list[str]:
    """Return the document's shell commands, one by one."""
    lines = "\n".join(blocks(document, ("", "bash"))).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part and not part.startswith("#")]


def extras() -> set[str]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    for flag, value in zip(words, words[1:], strict=False):
        if flag == "-c":
            assert (ROOT / value).is_file()
        if flag == "-e":
            asked = re.fullmatch(r"\.(?:\[([\w,]+)\])?", value)
            assert asked, value
            assert set((asked[1] or "").split(",")) - {""} <= extras()


def check_bundle(words: list[str]) -> None:
    assert words[0] == "run"
    options = dict(pair for pair in zip(words[1:], words[2:], strict=False) if pair[0].startswith("--"))
    files = options["--config_file"]
    files = ast.literal_eval(files) if files.startswith("[") else [files]
    known = set(RUN_ARGUMENTS)
    for file in files:
        known |= {name.split("#")[0] for name in json.loads((ROOT / file).read_text(encoding="utf-8"))}
    for option in options:
        name = re.split("#|::", option.removeprefix("--"))[0]
        assert name in known, f"{option} is no entry of {', '.join(files)}"


def check_our_command(words: list[str]) -> None:
    if "--help" in words:
        return
    command: click.Command = program()
    context = command.make_context("monai-hyperscale", [], resilient_parsing=True)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, f"there is no command {name}"
        command = found
    command.make_context(name, words, parent=context)  # raises UsageError for an option that it does not know


def check_command(command: str) -> None:
    words = shlex.split(command)
    if words[:3] == ["python", "-m", "venv"] or words == [".", ".venv/bin/activate"]:
        return
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    if words[:3] == ["python", "-m", "monai.bundle"]:
        check_bundle(words[3:])
    elif words[:3] == ["python", "-m", "pytest"]:
        assert set(words[3:]) <= {"-m", "slow", "-n", "auto", "--dist", "loadscope"}
    elif words[0] == "pip":
        check_pip(words[1:])
    elif words[0] == "monai-hyperscale":
        check_our_command(words[1:])
    elif words[0] == "bash":
        assert (ROOT / words[1]).is_file()
    elif words[0] in ("ruff", "mypy", "tensorboard"):
        importlib.metadata.distribution(words[0])
    else:
        raise AssertionError(f"do not know how to check {command!r}: teach this test")


def cases(found: Callable[[Path], list[str]]) -> list:
    return [
        pytest.param(document, text, id=f"{document.relative_to(ROOT)}:{index}")
        for document in DOCUMENTS
        for index, text in enumerate(found(document))
    ]


@pytest.mark.parametrize(("document", "command"), cases(commands))
def test_commands_exist(document: Path, command: str) -> None:
    check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "python -m monai.bundle run --config_file bundles/sshn_seg/configs/train.json --phii 0.3",
        "python -m monai.bundle run --config_file bundles/sshn_seg/configs/missing.json",
        "monai-hyperscale segment scan.nii.gz -o seg.nii.gz --phii 0.3",
        'pip install -c constraints.txt -e ".[missing]"',
        "unknown-program --flag",
    ],
)
def test_wrong_commands_are_found(command: str) -> None:
    with pytest.raises((AssertionError, FileNotFoundError, click.UsageError)):
        check_command(command)


def test_set_up_commands_are_what_ci_runs() -> None:
    first, second = (block.strip() for block in blocks(ROOT / "README.md", ("bash",))[:2])
    assert first.endswith("python -m monai.bundle run --config_file bundles/sshn_seg/configs/train.json")
    steps = [step.strip() for step in second.split("&&")]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for step in steps[2:]:
        assert f"\n{step}" in script, f".ci/run does not run the README's {step!r}"


@pytest.mark.parametrize(("document", "code"), cases(lambda document: blocks(document, ("python",))))
def test_python_snippets_run(document: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "torch.onnx" in code:
        pytest.importorskip("onnxscript", reason="the export extra is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(document), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_to_fill_in_and_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z_]+@|\b(?:TODO|TBD|FIXME)\b", text)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing, f"{document.relative_to(ROOT)} points to {missing}"
