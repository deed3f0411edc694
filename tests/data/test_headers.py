from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.data.headers import label_values, read_header
from monai_hyperscale.errors import DatasetError


def test_volume_header_has_size_channels_and_spacing(tmp_path, write):
    affine = np.diag([-0.5, 2.0, 3.0, 1.0])
    header = read_header(write(tmp_path / "a.nii.gz", np.zeros((4, 5, 6, 2), np.float32), affine))
    assert (header.sizes, header.channels, header.spacing) == ((4, 5, 6), 2, (0.5, 2.0, 3.0))
    assert read_header(write(tmp_path / "flat.nii", np.zeros((4, 5), np.uint8), affine)).spacing == (0.5, 2.0)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("F", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)]
)
def test_image_header_counts_channels_without_alpha(tmp_path, mode, channels):
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    Image.new(mode, (7, 4)).save(path)
    header = read_header(path)
    assert (header.sizes, header.channels, header.affine, header.spacing) == ((7, 4), channels, None, None)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.nii.gz", b"", "is no NIfTI file"),
        ("a.nii", b"no NIfTI at all" * 40, "is no NIfTI file"),
        ("a.png", b"no image", "cannot be read as an image"),
        ("a.txt", b"text", "not of a known kind"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=reason) as error:
        read_header(tmp_path / name)
    assert name in str(error.value)


def test_vectors_singular_affines_and_pages_are_refused(tmp_path, write):
    with pytest.raises(DatasetError, match="has shape"):
        read_header(write(tmp_path / "5d.nii", np.zeros((2, 2, 2, 1, 3), np.float32)))
    with pytest.raises(DatasetError, match="scalar voxels"):
        rgb = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        read_header(write(tmp_path / "rgb.nii", rgb))
    flat = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), None)
    flat.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    nib.save(flat, tmp_path / "flat.nii")
    with pytest.raises(DatasetError, match="affine"):
        read_header(tmp_path / "flat.nii")
    page = Image.new("L", (3, 3))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(DatasetError, match="2 pages"):
        read_header(tmp_path / "pages.tif")


def test_label_values_of_kinds_of_files(tmp_path, write):
    grey = np.array([[0, 255], [128, 255]], np.uint8)
    palette = Image.fromarray(np.array([[0, 2], [2, 2]], np.uint8), mode=None)
    palette.putpalette([0, 0, 0, 250, 0, 0, 0, 0, 250])
    palette.save(tmp_path / "palette.png")
    paths = [
        write(tmp_path / "grey.png", grey),
        write(tmp_path / "rgb.png", np.repeat(grey[..., None], 3, axis=2)),
        tmp_path / "palette.png",
        write(tmp_path / "bits.png", grey > 200),
        write(tmp_path / "float.nii.gz", np.array([[[0.0, np.nan, 2.0002, 70000.0]]], np.float32)),
        write(tmp_path / "negative.nii.gz", np.array([[[-1, 2]]], np.int16)),
    ]
    values = [{0, 128, 255}, {0, 128, 255}, {0, 2}, {0, 1}, {0, 2, 70000}, {-1, 2}]
    assert [label_values([path]) for path in paths] == values and label_values(paths) == set().union(*values)


def test_labels_that_are_no_labels_are_refused(tmp_path, write):
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[0, 0] = (200, 0, 0)
    with pytest.raises(DatasetError, match="colours"):
        label_values([write(tmp_path / "colours.png", colours)])
    with pytest.raises(DatasetError, match="JPEG"):
        label_values([write(tmp_path / "a.jpg", colours[..., 0])])
    with pytest.raises(DatasetError, match=r"holds 0\.5"):
        label_values([write(tmp_path / "soft.nii.gz", np.full((2, 2, 2), 0.5, np.float32))])


def test_truncated_label_is_named(tmp_path, write):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "cut.nii.gz", rng.integers(0, 3, (30, 30, 30)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"cut\.nii\.gz is truncated or damaged"):
        label_values([path])


def test_spacing_is_in_millimetres_whatever_the_unit(tmp_path, write):
    path = write(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.uint8), np.diag([0.2, 0.3, 0.4, 1.0]))
    for unit, factor in (("micron", 1e-3), ("mm", 1), ("meter", 1e3), ("unknown", 1)):
        image = nib.load(path)
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / "b.nii.gz")
        np.testing.assert_allclose(read_header(tmp_path / "b.nii.gz").spacing, np.array([0.2, 0.3, 0.4]) * factor, 1e-6)


def test_large_label_values_stay_apart(tmp_path, write):
    values = np.array([[[312782547, 312782551, 0]]], np.int64)
    nib.save(nib.Nifti1Image(values, np.eye(4), dtype=np.int64), tmp_path / "a.nii.gz")
    assert label_values([tmp_path / "a.nii.gz"]) == {0, 312782547, 312782551}
