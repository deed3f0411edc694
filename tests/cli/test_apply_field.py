from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_hyperscale.io.fields import write_field
from tests.cli.commands import OBLIQUE, Run, itk_resampled


def scan(path: Path, shape: tuple[int, ...] = (9, 8, 7), affine: np.ndarray = OBLIQUE) -> str:
    voxels = np.random.default_rng(len(path.name)).integers(0, 900, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)


def field(path: Path, shape: tuple[int, ...] = (9, 8, 7), affine: np.ndarray = OBLIQUE, shift: float = 0.4) -> str:
    write_field(torch.full((len(shape), *shape), shift), path, affine)
    return str(path)


@pytest.fixture
def apply(run: Run, tmp_path: Path) -> Run:
    """Return a function that applies a field, to ``b.nii.gz`` unless another output is named."""
    there = ("-o", tmp_path / "out" / "b.nii.gz")
    return lambda *words, **code: run("apply-field", *words, *(() if "-o" in words else there), **code)


def written(tmp_path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(tmp_path / "out" / "b.nii.gz").dataobj)


def test_whole_voxels_are_shifted_exactly(tmp_path: Path, apply: Run) -> None:
    image, output = scan(tmp_path / "a.nii.gz"), tmp_path / "out" / "b.nii.gz"
    assert apply(image, field(tmp_path / "f.nii.gz", shift=1.0)).err == f"wrote {output}\n"
    before, after = nib.load(image).get_fdata(), nib.load(output)
    assert np.allclose(after.get_fdata()[:-1, :-1, :-1], before[1:, 1:, 1:], atol=1e-2)
    assert np.all(after.get_fdata()[-1] == before.min())
    assert np.allclose(after.affine, OBLIQUE, atol=1e-5)


@pytest.mark.parametrize("labels", [False, True])
def test_same_as_simpleitk(tmp_path: Path, apply: Run, labels: bool) -> None:
    image = scan(tmp_path / "a.nii.gz", (12, 7, 9), OBLIQUE @ np.diag([0.8, 1.2, 0.7, 1]))
    warp, least = field(tmp_path / "f.mha", shift=0.43), np.asarray(nib.load(image).dataobj).min()
    apply(image, warp, "--outside", least, *["--labels"] * labels)
    expected = itk_resampled(image, scan(tmp_path / "fixed.nii.gz"), warp, nearest=labels)
    assert np.isclose(written(tmp_path), expected, atol=0.5).mean() > 0.99
    assert np.issubdtype(written(tmp_path).dtype, np.integer) == labels


def test_fixed_image_gives_the_header(tmp_path: Path, apply: Run) -> None:
    fixed = nib.Nifti1Image(np.zeros((9, 8, 7), np.int16), OBLIQUE)
    fixed.set_sform(OBLIQUE, code="mni")
    nib.save(fixed, tmp_path / "fixed.nii.gz")
    apply(scan(tmp_path / "a.nii.gz"), field(tmp_path / "f.nii.gz"), "--fixed", tmp_path / "fixed.nii.gz")
    moved, fixed = (nib.load(tmp_path / name) for name in ("out/b.nii.gz", "fixed.nii.gz"))
    assert moved.header["sform_code"] == 4 and np.array_equal(moved.affine, fixed.affine)


def test_2d(tmp_path: Path, apply: Run) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (7, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    warp = field(tmp_path / "f.mha", (9, 7), np.diag([-1.0, -1, 1, 1]), shift=1.0)
    apply(tmp_path / "a.png", warp, "-o", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as moved:
        assert np.array_equal(np.asarray(moved)[:-1, :-1], pixels[1:, 1:])
    flat = scan(tmp_path / "a.nii.gz", (9, 7, 1), np.diag([-1.0, -1, 4, 1]))
    apply(flat, warp, "--fixed", flat)
    assert written(tmp_path).shape == (9, 7, 1)


def test_mistakes(tmp_path: Path, apply: Run) -> None:
    image, warp, soft = scan(tmp_path / "a.nii.gz"), field(tmp_path / "f.nii.gz"), tmp_path / "soft.nii.gz"
    flat = field(tmp_path / "flat.mha", (9, 8), np.eye(4))
    nib.save(nib.Nifti1Image(np.full((9, 8, 7), 0.5, np.float32), OBLIQUE), soft)
    for arguments, code, message in (
        ([image, warp, "--fixed", scan(tmp_path / "g.nii.gz", (9, 8, 6))], 1, "is on another grid (9 x 8 x 7"),
        ([image, warp, "--fixed", scan(tmp_path / "h.nii.gz", affine=OBLIQUE * 2)], 1, "is on another grid"),
        ([scan(tmp_path / "2d.nii.gz", (9, 8), np.eye(4)), warp], 1, "2d.nii.gz is 2D, but a 3D image is needed"),
        ([image, flat], 1, "a.nii.gz is 3D, but a 2D image is needed; take one slice"),
        ([scan(tmp_path / "far.nii.gz", affine=OBLIQUE + np.eye(4, k=3) * 900), warp], 1, "leads nowhere into"),
        ([image, image], 1, "holds no displacement field"),
        ([soft, warp, "--labels"], 1, "holds 0.5; a label file needs whole numbers"),
        ([image, f"{tmp_path}/none.nii.gz"], 2, "none.nii.gz does not exist"),
        ([image, warp, "-o", f"{tmp_path}/b.mha"], 2, "--output is a file that ends in .nii.gz or .nii"),
        ([image, warp, "-o", image], 2, "is one of the inputs"),
        ([image, warp, "--labels", "--outside", "-1"], 2, "whole number of at least 0, got -1"),
        ([image, warp, "--labels", "--outside", "nan"], 2, "whole number of at least 0, got nan"),
    ):
        before = sorted(tmp_path.rglob("*"))
        assert message in apply(*arguments, code=code).error
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("dtype", "large"),
    [*((dtype, (312782547, 312782551)) for dtype in (np.int32, np.uint32)), (np.int64, (2**53, 2**53 + 1))],
)
def test_neighbouring_large_labels_stay_apart(tmp_path: Path, apply: Run, dtype: type, large: tuple[int, int]) -> None:
    values = np.array([0, *large], dtype)[np.random.default_rng(0).integers(0, 3, (9, 8, 7))]
    nib.save(nib.Nifti1Image(values, OBLIQUE, dtype=dtype), tmp_path / "a.nii.gz")
    apply(tmp_path / "a.nii.gz", field(tmp_path / "f.nii.gz", shift=1.0), "--labels", "--outside", 312782549)
    moved = written(tmp_path)
    assert np.array_equal(moved[:-1, :-1, :-1], values[1:, 1:, 1:]) and moved[-1, -1, -1] == 312782549


def test_labels_that_are_nearly_whole(tmp_path: Path, apply: Run) -> None:
    whole = np.random.default_rng(0).integers(0, 4, (9, 8, 7))
    nib.save(nib.Nifti1Image((whole * 1.00005).astype(np.float32), OBLIQUE), tmp_path / "a.nii.gz")
    apply(tmp_path / "a.nii.gz", field(tmp_path / "f.nii.gz", shift=0.0), "--labels")
    assert np.array_equal(written(tmp_path), whole)
