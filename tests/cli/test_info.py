from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from monai_hyperscale.bundle import build_network, read_settings
from tests.cli.commands import Run, Write


def rows_of(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_what_the_files_hold(bundle: Path, run: Run) -> None:
    facts = json.loads(run("info", bundle, "--json").out)
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
    rows = rows_of(run("info", bundle).out)
    assert (rows["channels"], rows["labels"]) == ("MRI", "1 Anterior, 2 Posterior")
    assert (rows["phi"], rows["data"]) == ("trained from 0 to 0.5", "random numbers")
    assert rows["sha256"] == facts["weights"]["sha256"]


def test_values_of_files_slices_lists_and_no_weights_yet(tmp_path: Path, write_bundle: Write, run: Run) -> None:
    facts = {"sites": ["Oslo", "Bonn"], "scans": [f"scan_{n}" for n in range(40)], "blind": True, "dice": {"a": 0.5}}
    more = {"slices": True, "label_values": (0, 128, 255), "spacing": (1.0, 1.0, 2.5), "provenance": facts}
    folder = write_bundle(tmp_path / "b", 2, **more)
    text = run("info", folder).out
    for told in ("128 Anterior, 255 Posterior", "2D, over the slices of volumes", "1 x 1 x 2.5 mm"):
        assert told in text
    rows = rows_of(text)
    assert rows["sites"] == "Oslo, Bonn" and rows["blind"] == "yes" and rows["dice"] == "a 0.5"
    assert rows["scans"] == "scan_0, scan_1, scan_2, scan_3, scan_4, scan_5 and 34 more"
    (folder / "models" / "model.pt").unlink()
    assert "none yet: train the bundle" in run("info", folder).out


def test_registration(tmp_path: Path, write_registration_bundle: Write, run: Run) -> None:
    more = {"regularization": (0.0, 1.0), "integration_steps": 7, "field_scale": 0.5, "sizes": (48, 64, 48)}
    folder = write_registration_bundle(tmp_path / "b", **more)
    rows = rows_of(run("info", folder).out)
    assert rows["task"] == "registration"
    assert rows["field"] == "velocity, integrated in 7 steps, at 0.5 of the size, smoothness from 0 to 1"
    facts = json.loads(run("info", folder, "--json").out)
    assert facts["sizes"] == [48, 64, 48] and facts["labels"] == {"1": "Anterior", "2": "Posterior"}


@pytest.mark.parametrize("content", [None, "not json", "{}", '{"format": 1, "task": "segmentation"}'])
def test_what_is_no_bundle(tmp_path: Path, content: str | None, run: Run) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    said = run("info", tmp_path, code=2)
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert "does not exist" in run("info", tmp_path / "none", code=2).err
