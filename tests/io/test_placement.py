from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from monai_hyperscale.io import Placement, image_source, read_image, read_source
from monai_hyperscale.io.fields import grid_affine
from monai_hyperscale.io.grids import RAS_LPS
from monai_hyperscale.io.nifti import nifti_affine, oriented_affine

SIZES = (5, 6, 7)
SFORM = np.array([[0.0, 0, 4, -10], [-2, 0, 0, 20], [0, 3, 0, 30], [0, 0, 0, 1]])
QFORM = np.array([[2.0, 0, 0, -1], [0, 3, 0, -2], [0, 0, 4, -3], [0, 0, 0, 1]])


def header_of(
    sform: tuple[Optional[np.ndarray], int] = (SFORM, 1), qform: tuple[Optional[np.ndarray], int] = (None, 0)
) -> Any:
    header = nib.Nifti1Image(np.zeros(SIZES, np.float32), None).header
    header.set_zooms((2, 3, 4))
    if qform[0] is not None:
        header.set_qform(*qform)
    if sform[0] is not None:
        header.set_sform(*sform)
    header["qform_code"], header["sform_code"] = qform[1], sform[1]
    return header


def save(path: Path, header: Any) -> Path:
    nib.save(nib.Nifti1Image(np.zeros(SIZES, np.float32), None, header), path)
    return path


def in_itk(path: Path) -> np.ndarray:
    """Where SimpleITK lays a volume, in RAS, point by point."""
    image = sitk.ReadImage(str(path))
    origin = np.array(image.TransformContinuousIndexToPhysicalPoint((0.0, 0, 0)))
    axes = [np.array(image.TransformContinuousIndexToPhysicalPoint(row)) - origin for row in np.eye(3).tolist()]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.stack(axes, axis=1), origin
    return RAS_LPS @ affine


@pytest.mark.parametrize(("unit", "millimetres"), [("meter", 1000), ("mm", 1), ("micron", 0.001), ("unknown", 1)])
@pytest.mark.parametrize("forms", [((SFORM, 1), (None, 0)), ((None, 0), (QFORM, 1)), ((QFORM, 2), (QFORM, 1))])
def test_units_of_length_are_those_of_itk(tmp_path: Path, unit: str, millimetres: float, forms: tuple) -> None:
    header = header_of(*forms)
    header.set_xyzt_units(unit, "sec")
    path = save(tmp_path / "a.nii", header)
    affine = read_image(path).affine.numpy()
    expected = forms[0][0] if forms[0][0] is not None else forms[1][0]
    assert np.allclose(affine[:3], expected[:3] * millimetres, rtol=1e-6)
    assert np.allclose(affine, in_itk(path), rtol=1e-5, atol=1e-6 * millimetres)
    assert np.array_equal(affine, read_source(path).affine)
    assert np.allclose(grid_affine(read_source(path)), affine)


@pytest.mark.parametrize("qform", [1, 2, 3, 4])
@pytest.mark.parametrize("sform", [1, 2, 3, 4])
def test_forms_that_disagree_are_named_and_can_be_chosen(
    tmp_path: Path, sform: int, qform: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / "two.nii.gz", header_of((SFORM, sform), (QFORM, qform)))
    assert np.allclose(read_image(path).affine, SFORM)
    (message,) = caplog.messages
    assert "two.nii.gz" in message and f"sform (code {sform})" in message and f"qform (code {qform})" in message
    caplog.clear()
    for name, affine in (("sform", SFORM), ("qform", QFORM)):
        source = image_source(read_image(path, placement=Placement(header=name)))
        assert np.allclose(source.affine, affine)
        assert np.allclose(read_source(path, Placement(header=name)).affine, affine)
        # Whatever is chosen, a field for ITK goes by what ITK chooses.
        assert np.allclose(grid_affine(source), in_itk(path), atol=1e-5)
    assert not caplog.messages


def test_rounding_between_the_forms_is_no_disagreement(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    near = QFORM.copy()
    near[:3, 3] += 0.05
    read_image(save(tmp_path / "a.nii", header_of((near, 2), (QFORM, 1))))
    assert not caplog.messages


def test_what_the_header_says_alone_counts_more_than_a_choice(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", header_of((SFORM, 2)))
    for placement in (Placement(header="qform"), Placement(orientation="RAS")):
        assert np.allclose(read_image(path, placement=placement).affine, SFORM)


def test_broken_quaternion_beside_an_sform(tmp_path: Path) -> None:
    header = header_of((SFORM, 1), (QFORM, 1))
    header["quatern_b"], header["quatern_c"] = 1, 1
    assert np.allclose(nifti_affine(header, Placement())[0], SFORM)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz", "a.mha", "a.nrrd"])
def test_no_orientation_is_said_and_can_be_given(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / name
    if name.endswith((".nii", ".nii.gz")):
        save(path, header_of((None, 0), (None, 0)))
    elif name.endswith(".mgz"):
        content = bytearray(nib.MGHImage(np.zeros(SIZES, np.float32), np.eye(4)).to_bytes())
        content[28:30] = b"\0\0"
        path.write_bytes(gzip.compress(bytes(content)))
    else:
        image = sitk.GetImageFromArray(np.zeros(SIZES[::-1], np.float32))
        image.SetSpacing((2, 3, 4))
        sitk.WriteImage(image, str(path))
        lines = path.read_bytes().split(b"\n")
        told = (b"TransformMatrix", b"AnatomicalOrientation", b"space")
        path.write_bytes(b"\n".join(line for line in lines if not line.startswith(told)))
    assert read_image(path).shape == (1, *SIZES)
    (message,) = caplog.messages
    assert name in message and "no orientation" in message and message.endswith("correct the header.")
    caplog.clear()
    read_image(path, placement=Placement(as_options=True))
    assert caplog.messages[0].endswith("say so with --orientation, such as --orientation RAS.")
    caplog.clear()
    affine = read_image(path, placement=Placement(orientation="PIR")).affine.numpy()
    assert nib.aff2axcodes(affine) == ("P", "I", "R")
    assert np.allclose(affine @ [2, 2.5, 3, 1], [0, 0, 0, 1])
    if name.startswith("a.nii"):
        assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), (2, 3, 4))
    assert not caplog.messages


def test_itk_lays_files_without_orientation_its_own_way(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", header_of((None, 0), (None, 0)))
    source = read_source(path, Placement(orientation="RAS"))
    assert np.allclose(source.affine, oriented_affine("RAS", (2, 3, 4), SIZES))
    assert np.allclose(grid_affine(source), in_itk(path))
    assert not np.allclose(grid_affine(source), source.affine)


@pytest.mark.parametrize("wrong", [{"header": "pixdim"}, {"orientation": "RAR"}, {"orientation": "RA"}])
def test_what_is_no_placement(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="got"):
        Placement(**wrong)


def test_real_labels_in_two_places(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_image(shared_data / "templates_fullsize" / "inia19_macaque_labels.nii.gz")
    assert "sform (code 1)" in caplog.text and "qform (code 1)" in caplog.text
