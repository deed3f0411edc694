"""The comparison with a classical method: pairs of unseen cases, and the same measure for both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from benchmarks import classical
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from tests.saved import save_network

NAMES = [f"case_{n}" for n in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for name in NAMES:
            high = 3 if kind == "labels" else 100
            voxels = generator.integers(0, high, (8, 9, 7)).astype(np.uint8)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / kind / f"{name}.nii.gz")
    return tmp_path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small = {"sizes": (8, 8, 8), "network": {"features": (4, 4)}, "head_features": 4}
    settings = RegistrationSettings(3, ("MRI",), **small, provenance={"cases": {"test": NAMES[:3]}})
    save_network(tmp_path / "bundle" / "models", settings)
    return tmp_path / "bundle"


def test_overlap_is_the_mean_dice_of_the_labels() -> None:
    moved, fixed = torch.tensor([[[0, 1, 1, 2, 2, 2]]]), torch.tensor([[[0, 1, 2, 2, 2, 0]]])
    assert classical.overlap(moved, fixed) == pytest.approx((2 * 1 / 3 + 2 * 2 / 6) / 2)


def test_a_network_near_the_identity_leaves_the_overlap_as_it_is(
    folder: Path, bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classical, "ants_method", lambda transform, metric: None)
    file = folder / "classical.json"
    arguments = ["--bundle", str(bundle), "--dataset_dir", str(folder), "--pairs", "3", "--phi", "0.5", "0.1"]
    assert classical.main([*arguments, "--device", "cpu", "--json", str(file)]) == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["method"], row["phi"], row["pairs"]) for row in rows] == [("ours", 0.5, 3), ("ours", 0.1, 3)]
    for row in rows:
        assert row["dice"] == pytest.approx(row["dice_before"]) and 0 < row["dice"] < 1 and row["seconds"] > 0
    assert "antspyx is not installed" in capsys.readouterr().err


def test_a_method_that_warps_by_itself_is_measured_alike(
    folder: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect(pair: dict[str, torch.Tensor]) -> tuple[Any, float]:
        return pair["fixed_label"], 10.0

    monkeypatch.setattr(classical, "ants_method", lambda transform, metric: perfect)
    file = folder / "classical.json"
    arguments = ["--bundle", str(bundle), "--dataset_dir", str(folder), "--pairs", "2", "--phi", "0.5"]
    classical.main([*arguments, "--device", "cpu", "--json", str(file)])
    mattes, cc, ours = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert (mattes["method"], cc["method"]) == ("ANTs mattes", "ANTs CC")
    assert mattes["dice"] == cc["dice"] == 1 and mattes["times_faster"] == []
    assert len(ours["times_faster"]) == 2 and min(ours["times_faster"]) > 1


def test_another_data_set_is_refused(folder: Path, bundle: Path) -> None:
    for name in NAMES[:2]:
        (folder / "images" / f"{name}.nii.gz").unlink()
        (folder / "labels" / f"{name}.nii.gz").unlink()
    with pytest.raises(SystemExit):
        classical.main(["--bundle", str(bundle), "--dataset_dir", str(folder), "--device", "cpu"])
