"""The command runs, and its table and file say what was measured. No test looks at how long anything took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import onnx_runtime
from monai_hyperscale.bundle.settings import build_network, write_settings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


@pytest.mark.slow
def test_rows_of_every_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    settings = SegmentationSettings(2, ("grey",), {1: "a"}, network={"features": (4, 4)}, generator={"hidden": (4, 4)})
    (tmp_path / "models").mkdir()
    torch.save(build_network(settings).state_dict(), tmp_path / "models" / "model.pt")
    write_settings(settings, tmp_path / "models" / "model.json")
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


def test_bad_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        onnx_runtime.main(["--rounds", "0"])
    with pytest.raises(SystemExit):
        onnx_runtime.main(["--bundle", str(tmp_path / "none"), "--json", str(tmp_path / "x.json")])
    assert "does not exist" in capsys.readouterr().err and not (tmp_path / "x.json").exists()
