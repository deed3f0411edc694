from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import image_source, read_image, read_label, read_label_image, write_image, write_label
from monai_hyperscale.io.images import ImageSource

OBLIQUE = np.array([[-0.9, 0.2, 0.1, 10.0], [0.3, 1.9, -0.2, -20.0], [0.0, 0.3, 3.0, 5.5], [0, 0, 0, 1]])
GEOMETRY = ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "xyzt_units")


def scan(
    path: Path, qform: int = 1, sform: int = 2, shape: tuple[int, ...] = (5, 4, 3), cls: type = nib.Nifti1Image
) -> Path:
    image = cls(np.random.default_rng(0).random(shape).astype(np.float32), None)
    affine = np.diag([-2.0, 1.5, 3.0, 1.0])
    affine[:3, 3] = (10, -20, 5.5)
    image.header.set_qform(affine, code=qform)
    image.header.set_sform(OBLIQUE, code=sform)
    image.header.set_xyzt_units("micron", "sec")
    image.header["descrip"] = b"Jane Doe"
    image.header["cal_max"] = 900
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe"))
    nib.save(cls(image.dataobj, None, image.header), path)
    return path


@pytest.mark.parametrize("cls", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("qform", "sform"), [(1, 2), (1, 0), (0, 4), (0, 0)])
def test_geometry_is_kept_and_nothing_of_the_patient(tmp_path: Path, qform: int, sform: int, cls: type) -> None:
    image = read_image(scan(tmp_path / "a.nii", qform, sform, cls=cls))
    write_label(np.ones((5, 4, 3), np.int64), tmp_path / "label.nii", image)
    before, after = nib.load(tmp_path / "a.nii"), nib.load(tmp_path / "label.nii")
    assert type(after) is cls
    assert np.array_equal(before.affine, after.affine)
    for name in GEOMETRY:
        assert np.array_equal(before.header[name], after.header[name]), name
    assert np.array_equal(before.header.get_sform(), after.header.get_sform())
    assert after.header.get_intent()[0] == "none" and after.header["cal_max"] == 0
    assert np.allclose(read_image(tmp_path / "label.nii").affine, image.affine)
    assert b"Jane Doe" in (tmp_path / "a.nii").read_bytes()
    assert b"Jane Doe" not in (tmp_path / "label.nii").read_bytes()


@pytest.mark.parametrize(("shape", "sizes"), [((5, 4, 3, 1), (5, 4, 3)), ((5, 4, 1), (5, 4, 1)), ((5, 4), (5, 4))])
def test_grid_is_that_of_the_image(tmp_path: Path, shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    image = read_image(scan(tmp_path / "a.nii.gz", shape=shape))
    label = np.random.default_rng(0).integers(0, 3, sizes)
    write_label(label, tmp_path / "label.nii.gz", image)
    after = nib.load(tmp_path / "label.nii.gz")
    assert after.shape == sizes
    assert np.array_equal(np.asarray(after.dataobj), label)
    assert np.array_equal(after.affine, nib.load(tmp_path / "a.nii.gz").affine)


@pytest.mark.parametrize(("greatest", "dtype"), [(0, "u1"), (255, "u1"), (256, "u2"), (70000, "u4")])
def test_smallest_type_and_no_scaling(tmp_path: Path, greatest: int, dtype: str) -> None:
    path = tmp_path / "a.nii"
    voxels = np.zeros((3, 3, 3), np.int16)
    voxels[0] = 7
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    image.to_filename(path)
    label = np.zeros((3, 3, 3), np.int64)
    label[1, 2, 0] = greatest
    write_label(label, tmp_path / "label.nii", read_image(path))
    written = nib.load(tmp_path / "label.nii")
    assert written.get_data_dtype() == np.dtype(dtype)
    assert (written.dataobj.slope, written.dataobj.inter) == (1, 0)
    assert np.array_equal(written.dataobj.get_unscaled(), label)
    assert np.array_equal(read_label(tmp_path / "label.nii"), label)


def test_other_formats_get_a_nifti_that_itk_puts_in_the_same_place(tmp_path: Path) -> None:
    reference = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    reference.SetSpacing((0.5, 2.0, 3.0))
    reference.SetOrigin((-7.0, 8.0, 9.0))
    reference.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    sitk.WriteImage(reference, str(tmp_path / "a.mha"))
    image = read_image(tmp_path / "a.mha")
    write_label(np.ones((5, 4, 3), bool), tmp_path / "label.nii.gz", image)
    assert np.allclose(nib.load(tmp_path / "label.nii.gz").affine, image.affine.numpy(), atol=1e-6)
    written = sitk.ReadImage(str(tmp_path / "label.nii.gz"))
    for index in ((0, 0, 0), (4, 3, 2)):
        expected = reference.TransformIndexToPhysicalPoint(index)
        assert np.allclose(written.TransformIndexToPhysicalPoint(index), expected, atol=1e-5)


def test_sheared_affine_is_not_put_into_a_qform(tmp_path: Path) -> None:
    image = MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.as_tensor(OBLIQUE))
    write_label(np.zeros((2, 2, 2), np.uint8), tmp_path / "label.nii.gz", image)
    written = nib.load(tmp_path / "label.nii.gz")
    assert int(written.header["qform_code"]) == 0
    assert np.allclose(written.affine, OBLIQUE, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "name", "error"),
    [
        (np.zeros((5, 4, 2), np.uint8), "label.nii.gz", "shape"),
        (np.zeros((5, 4, 3)), "label.nii.gz", "whole numbers"),
        (np.full((5, 4, 3), -1), "label.nii.gz", "at least 0"),
        *((np.zeros((5, 4, 3), np.uint8), f"label{end}", "written as .nii.gz or .nii") for end in (".mha", ".png", "")),
    ],
)
def test_what_is_no_label_map_of_the_image(tmp_path: Path, label: np.ndarray, name: str, error: str) -> None:
    image = read_image(scan(tmp_path / "a.nii.gz"))
    with pytest.raises(ValueError, match=error):
        write_label(label, tmp_path / name, image)
    assert not (tmp_path / name).exists()


# Allen's atlas numbers its structures so; the two are one in float32.
NEIGHBOURS = (312782547, 312782551)


@pytest.mark.parametrize("name", ["l.nii", "l.nii.gz", "l.mha", "l.nrrd"])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float64", ">i4"])
def test_large_values_stay_apart(tmp_path: Path, name: str, dtype: str) -> None:
    values = np.array([[[0, *NEIGHBOURS, 7]]]).astype(dtype)
    if ".nii" in name:
        nib.save(nib.Nifti1Image(values, OBLIQUE, dtype=values.dtype), tmp_path / name)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(values.astype(values.dtype.newbyteorder("=")).T), str(tmp_path / name))
    label = read_label(tmp_path / name)
    assert label.dtype.kind in "ui" and label.ravel().tolist() == [0, *NEIGHBOURS, 7]
    if dtype not in ("float64", ">i4"):
        assert label.dtype == dtype
    image = read_label_image(tmp_path / name)
    assert not image.is_floating_point() and image.flatten().tolist() == [0, *NEIGHBOURS, 7]
    assert ".nii" not in name or np.allclose(image.affine, OBLIQUE)
    write_label(label.astype(np.int64), tmp_path / "out.nii.gz", image)
    assert read_label(tmp_path / "out.nii.gz").ravel().tolist() == [0, *NEIGHBOURS, 7]


def test_types_of_label_images_are_torch_s(tmp_path: Path) -> None:
    for given, taken in (("uint8", torch.uint8), ("int16", torch.int16), ("uint16", torch.int32)):
        nib.save(nib.Nifti1Image(np.ones((2, 2, 2), given), np.eye(4)), tmp_path / "l.nii")
        assert read_label_image(tmp_path / "l.nii").dtype == taken
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), 2**63, np.uint64), np.eye(4), dtype=np.uint64), tmp_path / "l.nii")
    with pytest.raises(ImageError, match=str(2**63)):
        read_label_image(tmp_path / "l.nii")


@pytest.mark.parametrize("near", [0.99995, 1.00005, 0.9991])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_nearly_whole_is_whole(tmp_path: Path, near: float, dtype: type) -> None:
    nib.save(nib.Nifti1Image(np.array([[[0, near, 2]]], dtype), OBLIQUE), tmp_path / "l.nii")
    assert read_label(tmp_path / "l.nii").ravel().tolist() == [0, 1, 2]
    assert read_label_image(tmp_path / "l.nii").flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize(("wrong", "told"), [(0.5, "0.5"), (312782547.5, "312782547.5"), (1.002, "1.002")])
def test_the_sentence_names_the_value_of_the_file(tmp_path: Path, wrong: float, told: str) -> None:
    nib.save(nib.Nifti1Image(np.array([[[0, wrong, 2]]]), OBLIQUE), tmp_path / "l.nii")
    for read in (read_label, read_label_image):
        with pytest.raises(ImageError, match=rf"l\.nii holds {told};"):
            read(tmp_path / "l.nii")
    nib.save(nib.Nifti1Image(np.array([[[0, -1]]], np.int16), OBLIQUE), tmp_path / "l.nii")
    with pytest.raises(ImageError, match=r"l\.nii holds -1;"):
        read_label_image(tmp_path / "l.nii")


def test_no_number_is_background_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nib.save(nib.Nifti1Image(np.array([[[3, np.nan, np.inf]]], np.float32), OBLIQUE), tmp_path / "l.nii")
    assert read_label_image(tmp_path / "l.nii").flatten().tolist() == [3, 0, 0]
    assert "l.nii has 2 voxels that are NaN or infinite" in caplog.text


def test_pictures_hold_labels_as_training_reads_them(tmp_path: Path) -> None:
    grey = np.array([[0, 255], [128, 255]], np.uint8)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "rgb.png")
    palette = Image.fromarray(np.array([[0, 2], [1, 2]], np.uint8))
    palette.putpalette([0, 0, 0, 250, 0, 0, 0, 0, 250])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(grey).save(tmp_path / "grey.jpg")
    assert np.array_equal(read_label(tmp_path / "rgb.png"), grey.T)
    assert np.array_equal(read_label(tmp_path / "palette.png"), [[0, 1], [2, 2]])
    with pytest.raises(ImageError, match="JPEG"):
        read_label(tmp_path / "grey.jpg")


# Other images on the grid of one

TURNED = np.array([[0, 0, 1.0, 3], [-1.5, 0.1, 0, 20], [0, 1.2, 0, 5], [0, 0, 0, 1]])


def test_images_keep_the_geometry_of_the_header(tmp_path: Path) -> None:
    fixed = nib.Nifti1Image(np.ones((5, 4, 3), np.int16), TURNED)
    fixed.header["descrip"] = b"a name"
    fixed.header["scl_slope"], fixed.header["scl_inter"] = 2, 1
    nib.save(fixed, tmp_path / "fixed.nii.gz")
    image = torch.rand(1, 5, 4, 3) - 0.5
    write_image(image, tmp_path / "moved.nii.gz", image_source(read_image(tmp_path / "fixed.nii.gz")))
    written = nib.load(tmp_path / "moved.nii.gz")
    assert np.array_equal(written.get_fdata(dtype=np.float32), image[0].numpy())
    assert np.array_equal(written.affine, nib.load(tmp_path / "fixed.nii.gz").affine)
    assert written.header["descrip"] == b"" and written.get_data_dtype() == np.float32


def test_channels_are_the_fourth_axis_and_come_back(tmp_path: Path) -> None:
    image = torch.rand(2, 5, 4, 3)
    write_image(image, tmp_path / "a.nii", ImageSource(Path("f.mha"), (5, 4, 3), TURNED))
    assert torch.equal(read_image(tmp_path / "a.nii", channels=2).as_tensor(), image)
    # One slice gets its axis back.
    write_image(torch.rand(1, 5, 4), tmp_path / "a.nii", ImageSource(Path("f.nii"), (5, 4, 1), np.eye(4)))
    assert nib.load(tmp_path / "a.nii").shape == (5, 4, 1)


@pytest.mark.parametrize(("channels", "factor"), [(1, 255), (1, 60000), (3, 255)])
def test_images_as_pictures(tmp_path: Path, channels: int, factor: int) -> None:
    image = (torch.rand(channels, 7, 5) * factor).round()
    image[:, 0, 0] = factor
    write_image(image, tmp_path / "a.png", ImageSource(Path("f.png"), (7, 5), np.eye(4)))
    assert torch.equal(read_image(tmp_path / "a.png", channels).as_tensor(), image)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (7, 5)


def test_mistakes_of_images(tmp_path: Path) -> None:
    source = ImageSource(Path("f.nii"), (5, 4, 3), TURNED)
    with pytest.raises(ImageError, match="written as .nii.gz or .nii, got a.png"):
        write_image(torch.rand(1, 5, 4, 3), tmp_path / "a.png", source)
    with pytest.raises(ValueError, match="has shape"):
        write_image(torch.rand(1, 5, 4, 4), tmp_path / "a.nii", source)
    assert list(tmp_path.iterdir()) == []
