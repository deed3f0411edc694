"""The end-to-end benchmark runs the command as a user does, and says what it took."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import end_to_end


def test_the_scan_is_like_a_scan(tmp_path: Path) -> None:
    end_to_end.write_scan(tmp_path / "scan.nii.gz", (40, 36, 12), (0.8, 0.9, 2.0))
    image = nib.load(tmp_path / "scan.nii.gz")
    assert image.shape == (40, 36, 12) and image.get_data_dtype() == np.int16
    assert np.allclose(image.header.get_zooms(), (0.8, 0.9, 2.0))
    assert "".join(nib.aff2axcodes(image.affine)) == "LPS" and np.count_nonzero(image.affine[:3, :3]) == 5
    voxels = np.asarray(image.dataobj)
    assert voxels.min() < -950 and voxels.max() > 500 and 0 < np.median(voxels[18:22, 16:20]) < 120


def test_command_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "e.json"
    arguments = ["--sizes", "20", "18", "10", "--labels", "3", "--features", "4", "4", "--roi-size", "8", "8", "8"]
    arguments += ["--patch-sizes", "2", "--phis", "0.3", "--threads", "1", "--folder", str(tmp_path / "kept")]
    assert end_to_end.main([*arguments, "--json", str(file), "--check"]) == 1  # starting takes most of so short a time
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    seconds = row["seconds"]
    parts = sum(value for name, value in seconds.items() if name != "total")
    assert seconds["total"] == pytest.approx(parts) and min(seconds.values()) >= 0
    assert row["outside"] == pytest.approx(1 - seconds["network"] / seconds["total"])
    assert row["threads"] == 1 and 100 < row["peak_mib"] < 4096 and row["met"] is False
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith("| 2 ") and "MISSED" in line
    assert nib.load(tmp_path / "kept" / "label.nii.gz").shape == (20, 18, 10)


def test_a_failure_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="scan.nii.gz does not exist"):
        end_to_end.segment(tmp_path / "scan.nii.gz", tmp_path, 0.3)
