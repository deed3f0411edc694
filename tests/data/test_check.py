from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.data import check_dataset, read_dataset
from monai_hyperscale.errors import DatasetError


def test_a_good_data_set_passes(volumes):
    check_dataset(read_dataset(volumes))


def test_too_few_cases(volumes):
    data = read_dataset(volumes)
    with pytest.raises(DatasetError, match="2 cases; training, validation and test need at least 3"):
        check_dataset(replace(data, cases=data.cases[:2]))


def test_missing_files_are_counted(volumes):
    data = read_dataset(volumes)
    for part in ("imagesTr/b.nii.gz", "labelsTr/d.nii.gz"):
        (volumes / part).unlink()
    with pytest.raises(DatasetError, match=r"2 of 8 files .* missing, .*b\.nii\.gz first"):
        check_dataset(data)


@pytest.mark.parametrize(
    ("part", "shape", "reason"),
    [
        ("labelsTr", (4, 5, 7), "has size 4×5×7, but .* 4×5×6"),
        ("labelsTr", (4, 5, 6, 2), "label file needs one"),
        ("imagesTr", (4, 5, 6, 2), r"has 2 channels, but the data set has 1 \(image\)"),
        ("imagesTr", (4, 5), "has 2 axes"),
    ],
)
def test_headers_must_fit(volumes, write, part, shape, reason):
    data = read_dataset(volumes)
    write(volumes / part / "c.nii.gz", np.ones(shape, np.uint8))
    with pytest.raises(DatasetError, match=reason):
        check_dataset(data)


def test_grids_must_be_the_same(volumes, write):
    data = read_dataset(volumes)
    label = np.ones((4, 5, 6), np.uint8)
    write(volumes / "labelsTr" / "c.nii.gz", label, np.diag([1.0, 1.0, 1.02, 1.0]))
    check_dataset(data)
    write(volumes / "labelsTr" / "c.nii.gz", label, np.diag([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(DatasetError, match="lies 8.0 voxels off"):
        check_dataset(data)


def test_channels_in_separate_files_must_share_a_grid(tmp_path, write):
    for name in "abc":
        for channel in range(2):
            shift = np.eye(4)
            shift[0, 3] = 3.0 if (name, channel) == ("c", 1) else 0.0
            write(tmp_path / "imagesTr" / f"{name}_{channel:04d}.nii.gz", np.zeros((4, 5, 6), np.float32), shift)
        write(tmp_path / "labelsTr" / f"{name}.nii.gz", np.ones((4, 5, 6), np.uint8))
    with pytest.raises(DatasetError, match=r"c_0001\.nii\.gz lies 3.0 voxels off"):
        check_dataset(read_dataset(tmp_path))


def test_undeclared_labels_and_empty_labels(volumes, write):
    data = read_dataset(volumes)
    with pytest.raises(DatasetError, match=r"holds the value 2, which is not one of .* \[0, 1\]"):
        check_dataset(replace(data, labels={1: "one"}, label_values=(0, 1)))
    for name in "abcd":
        write(volumes / "labelsTr" / f"{name}.nii.gz", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(DatasetError, match=r"background \(0\) only"):
        check_dataset(data)


def test_limit_is_how_many_cases_are_opened(volumes):
    data = read_dataset(volumes)
    (volumes / "imagesTr" / "b.nii.gz").write_bytes(b"damaged")
    check_dataset(data, limit=2)  # the first and the last one
    with pytest.raises(DatasetError, match=r"b\.nii\.gz is truncated or damaged"):
        check_dataset(data, limit=None)


def test_colour_image_in_a_grey_data_set(tmp_path, write):
    for name in "abc":
        write(tmp_path / "images" / f"{name}.png", np.zeros((4, 5), np.uint8))
        write(tmp_path / "labels" / f"{name}.png", np.ones((4, 5), np.uint8))
    data = read_dataset(tmp_path)
    check_dataset(data)
    Image.new("RGB", (5, 4)).save(tmp_path / "images" / "b.png")
    with pytest.raises(DatasetError, match="case b has 3 channels"):
        check_dataset(data)


def test_images_whose_place_is_a_guess_are_told(volumes, caplog):
    for name in "bc":
        image = nib.load(volumes / "imagesTr" / f"{name}.nii.gz")
        image = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header)
        image.header["sform_code"] = 2
        image.header["srow_x"][3] = 0
        image.header["qform_code"], image.header["qoffset_x"] = 1, 40
        nib.save(image, volumes / "imagesTr" / f"{name}.nii.gz")
    check_dataset(read_dataset(volumes))
    (message,) = [text for text in caplog.messages if "lies in two places" in text]
    assert "b.nii.gz" in message and "2 of 4 images" in message
