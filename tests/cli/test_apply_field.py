from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_hyperscale.cli.main import main
from monai_hyperscale.io.fields import write_field
from tests.cli.registering import OBLIQUE, itk_resampled, last_error


def scan(path: Path, shape: tuple[int, ...] = (9, 8, 7), affine: np.ndarray = OBLIQUE) -> str:
    voxels = np.random.default_rng(len(path.name)).integers(0, 900, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


def field(path: Path, shape: tuple[int, ...] = (9, 8, 7), affine: np.ndarray = OBLIQUE, shift: float = 0.4) -> str:
    write_field(torch.full((len(shape), *shape), shift), path, affine)
    return str(path)


def test_whole_voxels_are_shifted_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = scan(tmp_path / "a.nii.gz"), tmp_path / "out" / "b.nii.gz"
    assert main(["apply-field", image, field(tmp_path / "f.nii.gz", shift=1.0), "-o", str(output)]) == 0
    before, after = nib.load(image).get_fdata(), nib.load(output)
    assert np.allclose(after.get_fdata()[:-1, :-1, :-1], before[1:, 1:, 1:], atol=1e-2)
    assert np.all(after.get_fdata()[-1] == before.min())
    assert np.allclose(after.affine, OBLIQUE, atol=1e-5)
    assert capsys.readouterr().err == f"wrote {output}\n"


@pytest.mark.parametrize("labels", [False, True])
def test_same_as_simpleitk(tmp_path: Path, labels: bool) -> None:
    image = scan(tmp_path / "a.nii.gz", (12, 7, 9), OBLIQUE @ np.diag([0.8, 1.2, 0.7, 1]))
    warp, output = field(tmp_path / "f.mha", shift=0.43), tmp_path / "b.nii.gz"
    least = str(np.asarray(nib.load(image).dataobj).min())
    assert main(["apply-field", image, warp, "-o", str(output), "--outside", least, *["--labels"] * labels]) == 0
    expected = itk_resampled(image, scan(tmp_path / "fixed.nii.gz"), warp, nearest=labels)
    assert np.isclose(nib.load(output).get_fdata(), expected, atol=0.5).mean() > 0.99
    assert np.issubdtype(nib.load(output).get_data_dtype(), np.integer) == labels


def test_fixed_image_gives_the_header(tmp_path: Path) -> None:
    fixed = nib.Nifti1Image(np.zeros((9, 8, 7), np.int16), OBLIQUE)
    fixed.set_sform(OBLIQUE, code="mni")
    nib.save(fixed, tmp_path / "fixed.nii.gz")
    command = ["apply-field", scan(tmp_path / "a.nii.gz"), field(tmp_path / "f.nii.gz"), "-o", f"{tmp_path}/b.nii.gz"]
    assert main([*command, "--fixed", f"{tmp_path}/fixed.nii.gz"]) == 0
    written = nib.load(tmp_path / "b.nii.gz")
    assert written.header["sform_code"] == 4 and np.array_equal(
        written.affine, nib.load(tmp_path / "fixed.nii.gz").affine
    )


def test_2d(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (7, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    warp = field(tmp_path / "f.mha", (9, 7), np.diag([-1.0, -1, 1, 1]), shift=1.0)
    assert main(["apply-field", str(tmp_path / "a.png"), warp, "-o", str(tmp_path / "b.png")]) == 0
    with Image.open(tmp_path / "b.png") as moved:
        assert np.array_equal(np.asarray(moved)[:-1, :-1], pixels[1:, 1:])
    flat = scan(tmp_path / "a.nii.gz", (9, 7, 1), np.diag([-1.0, -1, 4, 1]))
    assert main(["apply-field", flat, warp, "-o", str(tmp_path / "b.nii.gz"), "--fixed", flat]) == 0
    assert nib.load(tmp_path / "b.nii.gz").shape == (9, 7, 1)


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, warp, output = scan(tmp_path / "a.nii.gz"), field(tmp_path / "f.nii.gz"), tmp_path / "out" / "b.nii.gz"
    end, flat = ["-o", str(output)], field(tmp_path / "flat.mha", (9, 8), np.eye(4))
    for arguments, code, message in (
        ([image, warp, *end, "--fixed", scan(tmp_path / "g.nii.gz", (9, 8, 6))], 1, "is on another grid (9 x 8 x 7"),
        ([image, warp, *end, "--fixed", scan(tmp_path / "h.nii.gz", affine=OBLIQUE * 2)], 1, "is on another grid"),
        ([scan(tmp_path / "2d.nii.gz", (9, 8), np.eye(4)), warp, *end], 1, "2d.nii.gz is 2D, but a 3D image is needed"),
        ([image, flat, *end], 1, "a.nii.gz is 3D, but a 2D image is needed; take one slice"),
        ([scan(tmp_path / "far.nii.gz", affine=OBLIQUE + np.eye(4, k=3) * 900), warp, *end], 1, "leads nowhere into"),
        ([image, image, *end], 1, "holds no displacement field"),
        ([image, f"{tmp_path}/none.nii.gz", *end], 2, "none.nii.gz does not exist"),
        ([image, warp, "-o", f"{tmp_path}/b.mha"], 2, "--output is a file that ends in .nii.gz or .nii"),
        ([image, warp, "-o", image], 2, "is one of the inputs"),
        ([image, warp, *end, "--labels", "--outside", "-1"], 2, "whole number of at least 0, got -1"),
        ([image, warp, *end, "--labels", "--outside", "nan"], 2, "whole number of at least 0, got nan"),
    ):
        before = sorted(tmp_path.rglob("*"))
        assert main(["apply-field", *arguments]) == code
        assert message in last_error(capsys)
        assert sorted(tmp_path.rglob("*")) == before


def test_labels_must_be_whole_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nib.save(nib.Nifti1Image(np.full((9, 8, 7), 0.5, np.float32), OBLIQUE), tmp_path / "a.nii.gz")
    command = ["apply-field", f"{tmp_path}/a.nii.gz", field(tmp_path / "f.nii.gz"), "-o", f"{tmp_path}/b.nii.gz"]
    assert main([*command, "--labels"]) == 1
    assert "holds 0.5; a label file needs whole numbers" in last_error(capsys)


@pytest.mark.parametrize(
    ("dtype", "large"),
    [*((dtype, (312782547, 312782551)) for dtype in (np.int32, np.uint32)), (np.int64, (2**53, 2**53 + 1))],
)
def test_neighbouring_large_labels_stay_apart(tmp_path: Path, dtype: type, large: tuple[int, int]) -> None:
    values = np.array([0, *large], dtype)[np.random.default_rng(0).integers(0, 3, (9, 8, 7))]
    nib.save(nib.Nifti1Image(values, OBLIQUE, dtype=dtype), tmp_path / "a.nii.gz")
    command = ["apply-field", f"{tmp_path}/a.nii.gz", field(tmp_path / "f.nii.gz", shift=1.0)]
    assert main([*command, "-o", f"{tmp_path}/b.nii.gz", "--labels", "--outside", "312782549"]) == 0
    moved = np.asanyarray(nib.load(tmp_path / "b.nii.gz").dataobj)
    assert np.array_equal(moved[:-1, :-1, :-1], values[1:, 1:, 1:]) and moved[-1, -1, -1] == 312782549


def test_labels_that_are_nearly_whole(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 4, (9, 8, 7))
    nib.save(nib.Nifti1Image((whole * 1.00005).astype(np.float32), OBLIQUE), tmp_path / "a.nii.gz")
    command = ["apply-field", f"{tmp_path}/a.nii.gz", field(tmp_path / "f.nii.gz", shift=0.0)]
    assert main([*command, "-o", f"{tmp_path}/b.nii.gz", "--labels"]) == 0
    assert np.array_equal(np.asanyarray(nib.load(tmp_path / "b.nii.gz").dataobj), whole)
