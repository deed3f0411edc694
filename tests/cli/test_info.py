from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_hyperscale.bundle import build_network, read_settings
from monai_hyperscale.cli.main import main


def test_json_tells_what_the_files_hold(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundle), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    settings = read_settings(bundle / "models" / "model.json")
    network, weights = build_network(settings), bundle / "models" / "model.pt"
    assert facts["channels"] == ["MRI"]
    assert facts["labels"] == {"1": "Anterior", "2": "Posterior"}
    assert (facts["spatial_dims"], facts["levels"], facts["phi_range"]) == (3, 2, [0.0, 0.5])
    assert facts["parameters"]["hypernetwork"] == sum(p.numel() for p in network.parameters())
    assert facts["parameters"]["folded"] == sum(p.numel() for p in network.fold(0.5).parameters())
    assert facts["weights"]["bytes"] == weights.stat().st_size
    assert facts["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert facts["provenance"] == {"data": "random numbers"}


def test_text(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines)
    assert rows["channels"] == "MRI"
    assert rows["labels"] == "1 Anterior, 2 Posterior"
    assert rows["phi"] == "trained from 0 to 0.5"
    assert rows["data"] == "random numbers"
    assert len(rows["sha256"]) == 64


def test_labels_have_the_values_of_the_files(
    tmp_path: Path, write_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(tmp_path / "b", 2, slices=True, label_values=(0, 128, 255), spacing=(1.0, 1.0, 2.5))
    assert main(["info", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "128 Anterior, 255 Posterior" in text
    assert "2D, over the slices of volumes" in text
    assert "1 x 1 x 2.5 mm" in text


def test_lists_are_text_and_long_ones_are_cut(
    tmp_path: Path, write_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"sites": ["Oslo", "Bonn"], "scans": [f"scan_{n}" for n in range(40)], "blind": True, "dice": {"a": 0.5}}
    folder = write_bundle(tmp_path / "b", provenance=facts)
    assert main(["info", str(folder)]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["sites"] == "Oslo, Bonn" and rows["blind"] == "yes" and rows["dice"] == "a 0.5"
    assert rows["scans"] == "scan_0, scan_1, scan_2, scan_3, scan_4, scan_5 and 34 more"


def test_bundle_without_weights(
    tmp_path: Path, write_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "models" / "model.pt").unlink()
    assert main(["info", str(folder)]) == 0
    assert "none yet: train the bundle" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "not json", "{}", '{"format": 1, "task": "segmentation"}'])
def test_what_is_no_bundle(tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    assert main(["info", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert main(["info", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
