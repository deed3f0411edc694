"""Where images lie whose headers leave a choice, or are in another unit: what commands take, say and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.cli.commands import OBLIQUE, PSR, Run, itk_resampled

SHIFTED = np.array([[1.1, 0, 0, -8], [0, -2.1, 0, 11], [0, 0, 2.9, -12], [0, 0, 0, 1]])
TURNED = np.array([[0, -1.2, 0, 9], [1.5, 0, 0, -11], [0, 0, 1, -8], [0, 0, 0, 1]])
IN_MICRON, IN_METRES = (np.diag([k, k, k, 1]) @ affine for k, affine in ((1e3, PSR), (1e-3, OBLIQUE)))


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Return a moving and a fixed image of other sizes, spacings and orientations in the same place."""
    draw, paths = np.random.default_rng(0), []
    # Sizes that differ by even numbers: files without a place lie with their middles on each other, and odd ones would
    # put points on the very edge of an image. It counts as inside here; ITK takes one edge for in, the other for out.
    for name, sizes, affine in (("moving", (17, 14, 19), PSR), ("fixed", (15, 12, 9), OBLIQUE)):
        paths.append(f"{tmp_path}/{name}.nii.gz")
        voxels = 5000 * gaussian_filter(draw.standard_normal(sizes), 2)
        nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), paths[-1])
    return paths


def with_header(
    path: str,
    sform: tuple[Optional[np.ndarray], int],
    qform: tuple[Optional[np.ndarray], int] = (None, 0),
    unit: str = "mm",
) -> str:
    """Write the voxels of a file again, with both affines and the unit as told."""
    image = nib.load(path)
    written = nib.Nifti1Image(np.asarray(image.dataobj), None)
    # nibabel takes the voxel size from the form that is set last.
    for form, (affine, code) in ((written.header.set_sform, sform), (written.header.set_qform, qform)):
        if affine is not None:
            written.header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
            form(affine, code)
    written.header.set_xyzt_units(unit)
    nib.save(nib.Nifti1Image(written.dataobj, None, written.header), path)
    return path


@pytest.mark.parametrize("options", [[], ["--header", "sform"], ["--header", "qform"], ["--orientation", "PSR"]])
@pytest.mark.parametrize(
    ("moving", "fixed"),
    [
        ({"sform": (IN_MICRON, 2), "unit": "micron"}, {"sform": (OBLIQUE, 1)}),
        ({"sform": (PSR, 1)}, {"sform": (None, 0), "qform": (IN_METRES, 1), "unit": "meter"}),
        ({"sform": (PSR, 1)}, {"sform": (OBLIQUE, 2), "qform": (SHIFTED, 1)}),
        ({"sform": (PSR, 2), "qform": (TURNED, 1)}, {"sform": (OBLIQUE, 4)}),
        ({"sform": (None, 0)}, {"sform": (OBLIQUE, 1)}),
        ({"sform": (None, 0)}, {"sform": (None, 0)}),
    ],
    ids=["micron", "metre", "fixed in two places", "moving in two places", "moving nowhere", "both nowhere"],
)
def test_fields_suit_the_place_where_itk_has_the_files(
    tmp_path: Path, run: Run, register: Run, pair: list[str], moving: dict, fixed: dict, options: list[str]
) -> None:
    for path, header in zip(pair, (moving, fixed), strict=True):
        with_header(path, **header)
    out = tmp_path / "out"
    words = [*options, *(["--keep", "network"] if "--header" in options else [])]  # else the start alone, mostly
    words += ["--field", out / "field.nii.gz", "--inverse-field", out / "inverse.mha"]
    register(*pair, "-o", out / "moved.nii.gz", *words)
    written, file = nib.load(out / "moved.nii.gz"), nib.load(pair[1])
    assert np.array_equal(written.affine, file.affine)
    assert written.header.get_xyzt_units() == file.header.get_xyzt_units()
    theirs = itk_resampled(*pair, f"{out}/field.nii.gz")
    assert np.ptp(written.get_fdata()) > 300
    assert np.isclose(written.get_fdata(), theirs, atol=1.0).mean() > 0.99
    # apply-field reads the same files in the same places, as ITK does.
    for image, field, grid, name in ((pair[0], "field.nii.gz", pair[1], "a"), (pair[1], "inverse.mha", pair[0], "b")):
        run("apply-field", image, out / field, "-o", out / f"{name}.nii.gz", "--fixed", grid)
        applied = nib.load(out / f"{name}.nii.gz").get_fdata()
        assert np.ptp(applied) > 300
        assert np.isclose(applied, itk_resampled(image, grid, f"{out}/{field}"), atol=1.0).mean() > 0.99


def test_spacing_is_in_millimetres(tmp_path: Path, register: Run, pair: list[str]) -> None:
    with_header(pair[0], (IN_MICRON, 1), unit="micron")
    register(*pair, "-o", tmp_path / "m.nii.gz", "--report", tmp_path / "r.json")
    assert np.allclose(json.loads((tmp_path / "r.json").read_text())["spacing_mm"]["moving"], (1.5, 1.2, 1.0))


def test_what_headers_leave_open_is_said(tmp_path: Path, register: Run, pair: list[str]) -> None:
    with_header(pair[0], (PSR, 2), (PSR + 30 * np.eye(4, k=3), 1))
    with_header(pair[1], (None, 0))
    words = [*pair, "-o", tmp_path / "m.nii.gz", "--centres", "--overwrite"]
    told = register(*words).err
    assert "warning: " in told and "moving.nii.gz lies in two places" in told and "--header qform" in told
    assert "fixed.nii.gz has no orientation in its header" in told and "--orientation RAS" in told
    assert "warning" not in register(*words, "--header", "sform", "--orientation", "ras").err
