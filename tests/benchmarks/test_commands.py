"""The commands run, and their tables and files say what was measured. No test looks at how long anything took."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import end_to_end, memory, onnx_runtime, prior_width, registration, speed, training_time
from benchmarks.cases import CASES, GENERATORS, count_parameters, hypernetwork, plain_network
from benchmarks.workloads import OPERATIONS, PLAIN, contestant, program
from monai_hyperscale.search import Latency
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.saved import save_network

CPU = torch.device("cpu")
TINY = CASES["tiny"]


def test_speed_measures_every_operation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "speed.json"
    arguments = ["--cases", "tiny", "--rounds", "1", "--device", "cpu", "--json", str(file)]
    assert speed.main([*arguments, "--generators", *GENERATORS]) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    rows = written["rows"]
    assert {row["operation"] for row in rows} == set(OPERATIONS)
    assert {row["network"] for row in rows} == {"plain", "plain again", *GENERATORS}
    assert all(row["seconds"]["median"] > 0 for row in rows)
    compared = [row for row in rows if row["ratio"] is not None]
    assert {row["operation"] for row in compared} == {"training", "fold", "inference"}
    assert written["machine"]["torch"] == torch.__version__
    table = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| tiny") for line in table) == len(rows)


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    options = argparse.Namespace(phi=0.25, device="cpu", threads=1)
    measured = memory._in_own_process("tiny", "narrow", "training", options)
    assert measured["bytes"] > 0
    assert measured["parameters"] == count_parameters(hypernetwork(TINY, "narrow", CPU))


def test_memory_compares_with_plain_and_reports_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(name: str, who: str, operation: str, options: argparse.Namespace) -> dict[str, Any]:
        if operation == "inference" and who == "dense":
            return {"bytes": None, "parameters": None, "error": "exit status -9"}
        return {"bytes": {"plain": 2, "narrow": 3, "dense": 5}[who] * memory.MIB, "parameters": 1}

    monkeypatch.setattr(memory, "_in_own_process", process)
    file = tmp_path / "memory.json"
    assert memory.main(["--cases", "tiny", "--device", "cpu", "--json", str(file)]) == 1
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["ratio"] for row in rows] == [None, 1.5, 2.5, None, 1.5, None]
    assert "exit status -9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (speed, ["--rounds", "0"]),
        (speed, ["--phi", "2"]),
        (speed, ["--threads", "0"]),
        (speed, ["--device", "abacus"]),
        (end_to_end, ["--phis", "2"]),
        (end_to_end, ["--threads", "0"]),
        (end_to_end, ["--sizes", "0", "5", "5"]),
        (onnx_runtime, ["--rounds", "0"]),
        (onnx_runtime, ["--bundle", "nowhere"]),
        (prior_width, ["--radii", "0.6", "--dataset", "none", "-o", "none"]),
        (prior_width, ["--steps", "0", "--dataset", "none", "-o", "none"]),
        (registration, ["--steps", "0"]),
        (registration, ["--check", "--phis", "0.1"]),
        (registration, ["--similarity", "ssd"]),
        (training_time, ["--rounds", "0"]),
        (training_time, ["--frontier", "-1"]),
        (training_time, ["--phis", "0.1,0.2;"]),
        (training_time, ["--phis", "2"]),
        (training_time, ["--set", "a"]),
    ],
)
def test_bad_options_end_with_a_message(command: Any, arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    assert arguments[0].strip("-") in capsys.readouterr().err


def test_bars_are_judged_by_the_median() -> None:
    assert speed._judged(Latency(1.08, 1.0, 1.2, 3), (0.0, 1.1)) == {"bar": [0.0, 1.1], "met": True}
    assert speed._judged(Latency(1.12, 1.0, 1.2, 3), (0.0, 1.1)) == {"bar": [0.0, 1.1], "met": False}
    assert speed._judged(None, (0.0, 1.1))["met"] is None
    assert speed._within(0.004, 0.005) == {"limit": 0.005, "met": True}
    assert speed._within(0.006, 0.005)["met"] is False


@pytest.mark.parametrize("name", [PLAIN, *GENERATORS])
def test_training_step_changes_the_network(name: str) -> None:
    network = contestant(TINY, name, CPU)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step = program("training", network, TINY, 0.25, CPU)
    for _ in range(3):
        step()
    after = list(network.parameters())
    changed = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert sum(changed) > len(changed) / 2


def test_cases_are_of_the_sizes_they_are_named_for() -> None:
    parameters = {name: count_parameters(plain_network(case, torch.device("meta"))) for name, case in CASES.items()}
    assert 25e6 < parameters["3d-nnunet"] < 35e6
    assert 1.5e5 < parameters["2d-32"] < 2.5e5  # the paper's 0.2 million
    bars = {name: set(case.bars) for name, case in CASES.items() if case.bars}
    judged = {("training", "narrow"), ("inference", "narrow")}
    assert bars == {"2d-32": judged, "3d-hippocampus": judged}
    assert CASES["2d-32"].limits == {("generation", "narrow"): 0.005}


def test_a_time_beyond_its_limit_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    for limit, code, said in ((0.0, 1, "≤ 0 ms MISSED"), (60.0, 0, "≤ 60000 ms met")):
        case = replace(TINY, limits={("generation", "narrow"): limit})
        monkeypatch.setitem(CASES, "tiny", case)
        arguments = ["--cases", "tiny", "--operations", "generation", "--check", "--json", str(tmp_path / "speed.json")]
        assert speed.main(arguments) == code
        assert said in capsys.readouterr().out


@pytest.mark.slow
def test_onnx_has_rows_of_every_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    settings = SegmentationSettings(2, ("grey",), {1: "a"}, network={"features": (4, 4)}, generator={"hidden": (4, 4)})
    save_network(tmp_path / "models", settings)
    file = tmp_path / "new" / "onnx.json"
    arguments = ["--bundle", str(tmp_path), "--phi", "0.2", "0.5", "--size", "16", "20", "--rounds", "2"]
    assert onnx_runtime.main([*arguments, "--json", str(file)]) == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [row["program"] for row in rows] == ["PyTorch", "PyTorch again", "TorchScript", "ONNX Runtime"] * 2
    assert all(row["seconds"]["median"] > 0 for row in rows)
    assert all((row["ratio"] is None) == (row["program"] == "PyTorch") for row in rows)
    assert all(row["difference"] <= 1e-4 for row in rows if row["program"] in onnx_runtime.FILES)
    assert rows[0]["flops"] < rows[4]["flops"] and rows[0]["size"] == [16, 20]
    assert sum("ONNX Runtime" in line for line in capsys.readouterr().out.splitlines()) == 2
