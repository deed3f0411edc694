from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_hyperscale.io import labels, read_image
from monai_hyperscale.tasks.registration.registrar import Registrar
from tests.cli.commands import OBLIQUE, PSR, Run, Write, files, full_disk, itk_resampled

MOVING, FIXED = (16, 15, 18), (15, 12, 9)


def write_scan(path: Path, sizes: tuple[int, ...], affine: np.ndarray, seed: int = 0) -> str:
    """Write a scan of a scene that is the same for all grids, with a little noise of its own."""
    voxels = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij")).reshape(len(sizes), -1)
    points = affine[:3, : len(sizes)] @ voxels + affine[:3, 3:]
    scene = np.zeros(points.shape[1])
    blobs = np.random.default_rng(0)
    for _ in range(12):
        middle, height = blobs.uniform(-9, 9, (3, 1)), blobs.uniform(-400, 900)
        scene += height * np.exp(-((points - middle) ** 2).sum(0) / blobs.uniform(10, 50))
    noise = np.random.default_rng(seed).normal(0, 5, sizes)
    nib.save(nib.Nifti1Image((scene.reshape(sizes) + noise).astype(np.float32), affine), path)
    return str(path)


def write_labels(path: Path, sizes: tuple[int, ...], affine: np.ndarray, seed: int = 0) -> str:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=sizes), 1.5)
    nib.save(nib.Nifti1Image(np.digitize(smooth, (0, 0.1)).astype(np.uint8), affine), path)
    return str(path)


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Return a moving and a fixed image of other sizes, spacings and orientations in the same place."""
    return [
        write_scan(tmp_path / "moving.nii.gz", MOVING, PSR, seed=1),
        write_scan(tmp_path / "fixed.nii.gz", FIXED, OBLIQUE),
    ]


@pytest.mark.parametrize("start", [[], ["--centres"], ["--affine"]])
def test_simpleitk_moves_the_image_alike_with_the_files(
    tmp_path: Path, register: Run, pair: list[str], start: list[str]
) -> None:
    out, fields = tmp_path / "out", ["--field", tmp_path / "out/field.nii.gz"]
    register(*pair, "-o", out / "moved.nii.gz", *fields, "--inverse-field", out / "inverse.mha", *start)
    assert files(out) == ["field.nii.gz", "inverse.mha", "moved.nii.gz"]
    written, fixed = nib.load(out / "moved.nii.gz"), nib.load(pair[1])
    assert written.shape == fixed.shape and np.array_equal(written.affine, fixed.affine)
    moved = written.get_fdata()
    assert np.ptp(moved) > 300
    # Millimetres of the field are written in single precision, which decides at the very border of the moving image.
    near = np.isclose(moved, itk_resampled(*pair, out / "field.nii.gz"), atol=0.5)
    assert near.mean() > 0.995
    # The inverse leads from the moving image's grid to the fixed image.
    inverse = sitk.ReadImage(f"{out}/inverse.mha", sitk.sitkVectorFloat64)
    assert inverse.GetSize() == MOVING
    forward = sitk.DisplacementFieldTransform(sitk.ReadImage(f"{out}/field.nii.gz", sitk.sitkVectorFloat64))
    back = sitk.DisplacementFieldTransform(inverse)
    lengths, left = [], []
    for index in np.ndindex(5, 4, 3):
        point = sitk.ReadImage(pair[1]).TransformIndexToPhysicalPoint([5 + index[0], 4 + index[1], 3 + index[2]])
        there = forward.TransformPoint(point)
        lengths.append(np.linalg.norm(np.subtract(there, point)))
        left.append(np.linalg.norm(np.subtract(back.TransformPoint(there), point)))
    # The field of a random network is rough, and each interpolation between voxels of 3 mm smooths it.
    assert np.median(left) < 0.3 * np.median(lengths)


def test_labels_report_and_preview(tmp_path: Path, register: Run, pair: list[str]) -> None:
    moving = write_labels(tmp_path / "ml.nii.gz", MOVING, PSR)
    fixed = write_labels(tmp_path / "fl.nii.gz", FIXED, OBLIQUE, seed=1)
    # Names are the label map's own; what the bundle calls its labels says nothing of them.
    (tmp_path / "fl.tsv").write_text("index\tname\n1\twhite matter\n")
    out = tmp_path / "new" / "out"
    words = ["--labels", moving, "--labels-out", out / "labels.nii.gz", "--fixed-labels", fixed, "--phi", 0.3]
    words += ["--report", out / "report.json", "--preview", out / "look.png", "--field", out / "field.mha"]
    words += ["--inverse-field", out / "inverse.nrrd", "--instance-optimization", 2]
    text = register(*pair, "-o", out / "moved.nii.gz", *words).err
    assert files(out) == ["field.mha", "inverse.nrrd", "labels.nii.gz", "look.png", "moved.nii.gz", "report.json"]
    assert text.startswith(f"wrote {out}/moved.nii.gz (correlation ") and "mean Dice before " in text
    assert "warning" not in text
    written = nib.load(out / "labels.nii.gz")
    assert written.get_data_dtype() == np.uint8 and np.array_equal(written.affine, nib.load(fixed).affine)
    after = np.asarray(written.dataobj)
    assert (after == itk_resampled(moving, pair[1], out / "field.mha", nearest=True)).mean() > 0.99
    report = json.loads((out / "report.json").read_text())
    truth = np.asarray(nib.load(fixed).dataobj)
    dice = {v: 2 * ((after == v) & (truth == v)).sum() / ((after == v).sum() + (truth == v).sum()) for v in (1, 2)}
    assert report["dice"]["after"]["labels"] == pytest.approx({"white matter": dice[1], "2": dice[2]})
    assert report["dice"]["after"]["mean"] == pytest.approx((dice[1] + dice[2]) / 2)
    assert (report["phi"], report["moving"], report["fixed"]) == (0.3, *pair)
    assert report["sizes"]["moving"] == list(MOVING) and report["sizes"]["fixed"] == list(FIXED)
    parts = dict(report["seconds"])
    assert sum(parts.values()) - parts.pop("total") <= 1.01 * report["seconds"]["total"]
    assert {"network", "resampling", "instance_optimization", "inverse"} <= parts.keys()
    assert 50 < report["peak_memory_mib"]["process"] < 50_000
    assert 0 <= report["folded_share"] <= 1 and report["inverse_residual_voxels"]["percentile_95"] < 0.1
    assert report["instance_optimization"]["loss_after"] <= report["instance_optimization"]["loss_before"]
    with Image.open(out / "look.png") as picture:
        assert picture.width > picture.height > 300
    words = ["--labels", fixed, "--labels-out", tmp_path / "l.nii.gz"]
    told = f"warning: the label map {fixed} is on another grid than its image; is it of another?\n"
    assert register(*pair, "-o", tmp_path / "moved.nii.gz", *words).err.startswith(told)


def test_same_as_in_python(tmp_path: Path, registration_bundle: Path, register: Run, pair: list[str]) -> None:
    register(*pair, "-o", tmp_path / "moved.nii", "--phi", 0.2)
    result = Registrar.from_bundle(registration_bundle).register(read_image(pair[0]), read_image(pair[1]), 0.2)
    assert np.array_equal(nib.load(tmp_path / "moved.nii").get_fdata(dtype=np.float32), result.moved[0].numpy())
    assert result.report["displacement_voxels"]["max"] > 0.02


def test_pictures(tmp_path: Path, write_registration_bundle: Write, register: Run) -> None:
    pair, out = [tmp_path / "m.png", tmp_path / "f.png"], tmp_path / "out"
    for n, path in enumerate(pair):
        smooth = gaussian_filter(np.random.default_rng(n).random((19, 31)), 2)
        Image.fromarray((np.clip((smooth - 0.4) * 5, 0, 1) * 255).astype(np.uint8)).save(path)
    words = ["-o", out / "moved.png", "--field", out / "field.mha", "--preview", out / "look.png"]
    register(*pair, *words, "--bundle", write_registration_bundle(tmp_path / "b", 2))
    with Image.open(out / "moved.png") as moved:
        assert moved.size == (31, 19)
        pixels = np.asarray(moved).astype(float)
    assert np.isclose(pixels.T, itk_resampled(*pair, out / "field.mha"), atol=1).mean() > 0.97


@pytest.mark.parametrize("which", [0, 1])
def test_images_that_cannot_be_registered(tmp_path: Path, register: Run, pair: list[str], which: int) -> None:
    (tmp_path / "empty.nii.gz").touch()
    broken = nib.load(pair[which]).get_fdata()
    broken[1, 2, 3] = np.nan
    nib.save(nib.Nifti1Image(broken.astype(np.float32), OBLIQUE), tmp_path / "nan.nii.gz")
    write_scan(tmp_path / "far.nii.gz", (9, 8, 7), OBLIQUE + np.eye(4, k=3) * 1e4)
    out = tmp_path / "out"
    outputs = ["--field", out / "field.nii.gz", "--report", out / "r.json", "--preview", out / "p.png"]
    for name, message in (
        ("nan", "nan.nii.gz has 1 voxels that are NaN or infinite"),
        ("empty", "empty.nii.gz is empty (0 bytes)"),
        ("far", "lie in different places and have no point in common"),
    ):
        images = [*pair[:which], f"{tmp_path}/{name}.nii.gz", *pair[which + 1 :]]
        assert message in register(*images, "-o", out / "moved.nii.gz", *outputs, code=1).error
        assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--labels-out", "l.nii.gz"], "--labels-out needs the moving image's label map"),
        (["--fixed-labels", "fixed.nii.gz"], "--fixed-labels needs the moving image's label map"),
        (["--labels", "fixed.nii.gz"], "--labels needs --labels-out"),
        (["--field", "f.txt"], "--field is a file that ends in .nii.gz or .nii or .mha"),
        (["--field", "moving.nii.gz"], "is one of the inputs"),
        (["--field", "out/../out/moved.nii.gz"], "--output and --field are the same file"),
        (["--report", "there.json"], "there.json exists already; add --overwrite."),
        (["--preview", "there.json/a.png"], "cannot be made"),
        (["--bundle", "none"], "none does not exist"),
        (["--bundle", "."], "no description of a trained network"),
        (["--bundle", "SEGMENTATION"], "describes a network for segmentation"),
        (["--device", "gpu"], "device must be auto, cpu, cuda"),
        (["--phi", "0.5,0.4,0.3,0.2"], "got 4"),
        (["--regularization", "0.3"], "takes phi, not regularization"),
        (["--labels", "none.nii.gz", "--labels-out", "l.nii.gz"], "none.nii.gz does not exist"),
        (["--orientation", "RRR"], "--orientation is three letters"),
    ],
)
def test_usage_errors_leave_nothing(
    tmp_path: Path, bundle: Path, register: Run, pair: list[str], arguments: list[str], message: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("{}")
    before = files(tmp_path)
    words = [str(bundle) if word == "SEGMENTATION" else word for word in arguments]
    assert message in register(*pair, "-o", "out/moved.nii.gz", *words, code=2).error
    assert files(tmp_path) == before and not (tmp_path / "out").exists()


def test_outputs_that_exist_are_replaced_together_or_stay(
    tmp_path: Path, register: Run, pair: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, placed, replace = tmp_path / "out", [], os.replace

    def noted(source: Path, target: Path) -> None:
        placed.append(Path(target).name)
        replace(source, target)

    words = [*pair, "-o", out / "moved.nii.gz", "--field", out / "field.nii.gz", "--report", out / "r.json"]
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", noted)
        register(*words)
    assert placed[-1] == "moved.nii.gz" and {"field.nii.gz", "r.json"} <= set(placed)
    before = {name: (out / name).read_bytes() for name in files(out)}
    told = register(*words, code=2).error
    assert "moved.nii.gz and " in told and "exist already; add --overwrite." in told
    with monkeypatch.context() as patched:
        patched.setattr(labels.nib, "save", full_disk)  # the field is written by then
        assert "No space left on device" in register(*words, "--overwrite", "--phi", 0.1, code=1).error
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    register(*words, "--overwrite", "--phi", 0.1)
    assert all((out / name).read_bytes() != content for name, content in before.items())


def test_label_maps_of_something_else(tmp_path: Path, register: Run, pair: list[str]) -> None:
    maps = {
        "--labels": write_labels(tmp_path / "moving_labels.nii.gz", MOVING, PSR),
        "--fixed-labels": write_labels(tmp_path / "fixed_labels.nii.gz", FIXED, OBLIQUE),
    }
    flat = write_labels(tmp_path / "flat.nii.gz", (9, 8), np.eye(4))
    far = write_labels(tmp_path / "far.nii.gz", (9, 8, 7), np.eye(4) + np.eye(4, k=3) * 1e4)
    for option, label, message in (
        ("--labels", pair[0], "; a label file needs whole numbers"),
        ("--labels", flat, "flat.nii.gz is 2D, but a 3D image is needed"),
        ("--fixed-labels", far, "far.nii.gz has no point in common with"),
    ):
        words = [word for item in {**maps, option: label}.items() for word in item]
        assert message in register(*pair, "-o", tmp_path / "out/m.nii.gz", *words, code=1).error
        assert not (tmp_path / "out").exists()


def test_untrained_phi_is_told_and_regularization_is_reported(
    tmp_path: Path, write_registration_bundle: Write, register: Run, pair: list[str]
) -> None:
    folder = write_registration_bundle(tmp_path / "b", regularization=(0.0, 1.0), integration_steps=3)
    words = ["--bundle", folder, "--phi", 0.9, "-v", "--regularization", 0.4, "--report", tmp_path / "r.json"]
    said = register(*pair, "-o", tmp_path / "m.nii.gz", *words).err
    assert "trained for phi from 0 to 0.5, not for 0.9" in said
    assert json.loads((tmp_path / "r.json").read_text())["regularization"] == 0.4


def test_a_poor_start_gets_a_hint(tmp_path: Path, register: Run, pair: list[str]) -> None:
    end = ["-o", tmp_path / "a.nii.gz", "--overwrite"]
    assert "hint: the images are not aligned as they lie (correlation" in register(*pair, *end).err
    assert "hint:" not in register(*pair, *end, "--centres").err
    assert "hint:" not in register(pair[0], pair[0], *end).err


def test_a_start_that_does_harm_is_told(tmp_path: Path, register: Run, pair: list[str]) -> None:
    label = write_labels(tmp_path / "label.nii.gz", FIXED, OBLIQUE)
    for name, path in (("scan", pair[1]), ("map", label)):
        nib.save(nib.load(path).slicer[5:], tmp_path / f"{name}.nii.gz")  # a crop, whose middle is elsewhere
    words = [tmp_path / "scan.nii.gz", pair[1], "-o", tmp_path / "a.nii.gz", "--overwrite"]
    words += ["--labels", tmp_path / "map.nii.gz", "--fixed-labels", label, "--keep"]
    for keep in ("start", "network"):
        said = register(*words, keep, "--centres").err
        assert "as they lie are better than the result; --centres does harm here" in said
    assert "worse than what it started from; --keep start takes that." in register(*words, "network").err
    assert "warning: by Dice" not in register(*words, "start").err


@pytest.mark.parametrize("name", ["cord_t2_PSR.nii.gz", "anatomical_bigendian.nii"])
def test_real_scans_of_other_orientations(shared_data: Path, tmp_path: Path, register: Run, name: str) -> None:
    pair = [shared_data / "odd_inputs" / file for file in ("someones_epi_oblique17.nii.gz", name)]
    register(*pair, "-o", tmp_path / "m.nii.gz", "--phi", 0.1, "--centres", "--field", tmp_path / "f.nii.gz")
    moved = nib.load(tmp_path / "m.nii.gz")
    assert moved.shape == nib.load(pair[1]).shape and np.array_equal(moved.affine, nib.load(pair[1]).affine)
    near = np.isclose(moved.get_fdata(), itk_resampled(*pair, tmp_path / "f.nii.gz"), atol=1)
    assert near.mean() > 0.99


@pytest.mark.slow
def test_full_size_brains(shared_data: Path, tmp_path: Path, register: Run) -> None:
    pair = [shared_data / "open_ms_mni" / f"patient{n}_T1.nii.gz" for n in ("07", "19")]
    outputs = ["-o", tmp_path / "m.nii.gz", "--report", tmp_path / "r.json", "--field", tmp_path / "f.nii.gz"]
    for phi in (0.5, 0.25, 0.1):
        register(*pair, *outputs, "--overwrite", "--phi", phi)
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["sizes"]["network"] == [182, 218, 182]
        assert report["seconds"]["network"] > 0 and report["peak_memory_mib"]["process"] > 0
    moved = nib.load(tmp_path / "m.nii.gz").get_fdata()
    assert np.isclose(moved, itk_resampled(*pair, tmp_path / "f.nii.gz"), atol=1e-3 * np.ptp(moved)).mean() > 0.99


def test_large_label_values_are_those_of_the_file(tmp_path: Path, register: Run, pair: list[str]) -> None:
    values, moved, dice = np.array([0, 312782547, 312782551]), [], []
    for name, sizes, affine in (("moving", MOVING, PSR), ("fixed", FIXED, OBLIQUE)):
        small = nib.load(write_labels(tmp_path / f"small_{name}.nii.gz", sizes, affine))
        large = values[np.asanyarray(small.dataobj)].astype(np.int32)
        nib.save(nib.Nifti1Image(large, affine), tmp_path / f"large_{name}.nii.gz")
    for kind in ("small", "large"):
        out, maps = tmp_path / kind, [tmp_path / f"{kind}_{name}.nii.gz" for name in ("moving", "fixed")]
        words = ["--labels", maps[0], "--labels-out", out / "l.nii.gz", "--fixed-labels", maps[1]]
        register(*pair, "-o", out / "m.nii.gz", *words, "--report", out / "r.json")
        moved.append(np.asanyarray(nib.load(out / "l.nii.gz").dataobj))
        dice.append(list(json.loads((out / "r.json").read_text())["dice"]["after"]["labels"].values()))
    assert np.unique(moved[0]).tolist() == [0, 1, 2]
    assert np.array_equal(moved[1], values[moved[0]])
    assert dice[0] == dice[1] and len(dice[0]) == 2
