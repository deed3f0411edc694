"""The shipped networks on images that are not like those of their training."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from scipy.ndimage import zoom

from tests.characterisation.made_crops import crop
from tests.cli.commands import Run

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SIZES = {"head": (180, 200, 180), "tiny": (4, 5, 7)}


def write(path: Path, voxels: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1)) -> str:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
    return str(path)


def noise(kind: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, SIZES[kind]).astype(np.int16)


@pytest.mark.parametrize("kind", SIZES)
def test_segment_refuses_what_is_far_outside(tmp_path: Path, kind: str, run: Run) -> None:
    image, out, volumes = write(tmp_path / "a.nii.gz", noise(kind)), tmp_path / "l.nii.gz", tmp_path / "v.json"
    words = ["segment", image, "-o", out, "--volumes", volumes, "--phi", 0.1, "--device", "cpu"]
    said = run(*words, code=1).err
    assert f"error: {image} is {' x '.join(map(str, SIZES[kind]))} mm, but the network was trained on" in said
    assert "--force" in said and not out.exists() and not volumes.exists()
    if kind == "tiny":
        assert f"warning: {image} is 4 x 5 x 7 mm" in run(*words, "--force").err
        (entry,) = json.loads(volumes.read_text())["images"]
        assert entry["unlike_training"].startswith(f"{image} is 4 x 5 x 7 mm") and out.exists()


@pytest.mark.parametrize("which", [0, 1])
def test_register_refuses_what_is_far_outside(tmp_path: Path, which: int, run: Run) -> None:
    scans = [write(tmp_path / f"{seed}.nii.gz", crop(seed)[0]) for seed in (1, 2)]
    scans[which] = write(tmp_path / "tiny.nii.gz", noise("tiny"))
    out, report = tmp_path / "m.nii.gz", tmp_path / "r.json"
    words = ["register", *scans, "-o", out, "--phi", 0.1, "--device", "cpu", "--report", report]
    said = run(*words, code=1).err
    assert f"error: {scans[which]} is 4 x 5 x 7 mm, but the network was trained on" in said
    assert not out.exists() and not report.exists()
    run(*words, "--force")
    (told,) = json.loads(report.read_text())["unlike_training"]
    assert told.startswith(f"{scans[which]} is 4 x 5 x 7 mm")


@pytest.mark.parametrize(("spacing", "at_least"), [((1, 1, 4), 0.7), ((2, 2, 2), 0.75), ((0.5, 0.5, 0.5), 0.8)])
def test_other_voxel_sizes_are_brought_to_that_of_the_training(
    tmp_path: Path, run: Run, spacing: tuple[float, ...], at_least: float
) -> None:
    image, truth = crop(1)
    scaled = zoom(image.astype(np.float32), 1 / np.asarray(spacing), order=1, grid_mode=True, mode="nearest")
    expected = zoom(truth, 1 / np.asarray(spacing), order=0, grid_mode=True, mode="nearest")
    scan, out = write(tmp_path / "a.nii.gz", scaled, spacing), tmp_path / "l.nii.gz"
    run("segment", scan, "-o", out, "--device", "cpu")
    found = np.asarray(nib.load(out).dataobj)
    assert found.shape == expected.shape and np.allclose(nib.load(out).affine, nib.load(scan).affine)
    dice = [2 * ((found == v) & (expected == v)).sum() / ((found == v).sum() + (expected == v).sum()) for v in (1, 2)]
    assert np.mean(dice) > at_least


def test_register_goes_through_the_network_at_the_voxel_size_of_the_training(tmp_path: Path, run: Run) -> None:
    scans = [
        write(tmp_path / f"{seed}.nii.gz", zoom(crop(seed)[0].astype(np.float32), (1, 1, 0.25), order=1), (1, 1, 4))
        for seed in (1, 2)
    ]
    report = tmp_path / "r.json"
    run("register", *scans, "-o", tmp_path / "m.nii.gz", "--phi", 0.1, "--device", "cpu", "--report", report)
    told = json.loads(report.read_text())["spacing_mm"]
    assert told["fixed"] == [1, 1, 4] and told["network"] == [1, 1, 1]


def infer(images: Path, output: Path) -> None:
    configs = BUNDLES / "sshn_seg" / "configs"
    options = {"bundle_root": str(configs.parent), "device": "cpu", "dataset_dir": str(images)}
    files = {"config_file": str(configs / "inference.json"), "logging_file": str(configs / "logging.conf")}
    flow = ConfigWorkflow(workflow_type="inference", **files, **options, output_dir=str(output))
    flow.initialize()
    flow.run()


def test_the_bundles_inference_does_so_too(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "scans"
    thick = zoom(crop(1)[0].astype(np.float32), (1, 1, 0.25), order=1, grid_mode=True, mode="nearest")
    write(folder / "thick.nii.gz", thick, (1, 1, 4))
    infer(folder, tmp_path / "out")
    (written,) = (tmp_path / "out").rglob("*.nii.gz")
    by_command = tmp_path / "l.nii.gz"
    run("segment", folder / "thick.nii.gz", "-o", by_command, "--device", "cpu")
    same = np.asarray(nib.load(written).dataobj) == np.asarray(nib.load(by_command).dataobj)
    assert same.mean() > 0.999 and np.asarray(nib.load(written).dataobj).any()
    write(folder / "tiny.nii.gz", noise("tiny"))
    with pytest.raises(SystemExit, match="tiny.nii.gz is 4 x 5 x 7 mm"):
        infer(folder, tmp_path / "other")
