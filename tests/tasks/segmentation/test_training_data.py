import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.data import read_dataset, write_synthetic_dataset
from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.tasks.segmentation.training_data import (
    images_to_segment,
    load_training_data,
    require_images,
    typical_size,
)


def write_volumes(folder, sizes, affine):
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for index, size in enumerate(sizes):
        values = np.random.default_rng(index).normal(size=size).astype(np.float32)
        nib.save(nib.Nifti1Image(values, affine), folder / "imagesTr" / f"case_{index}.nii.gz")
        nib.save(nib.Nifti1Image((values > 1).astype(np.uint8), affine), folder / "labelsTr" / f"case_{index}.nii.gz")
    return folder


def test_typical_size_is_the_median_in_ras_axes(tmp_path):
    # Voxel axes point to superior, left and anterior: RAS sizes are the second, third and first.
    affine = np.array([[0, -1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    folder = write_volumes(tmp_path, [(10, 20, 33), (12, 24, 35), (200, 300, 37)], affine)
    assert typical_size(read_dataset(folder).cases) == (24, 40, 16)


def test_large_images_are_cropped_to_what_trains(tmp_path):
    folder = write_volumes(tmp_path, [(150, 9, 8)] * 3, np.eye(4))
    assert typical_size(read_dataset(folder).cases) == (96, 16, 8)
    assert load_training_data(folder, tmp_path, roi_size=[40, 8, 8]).roi_size == (40, 8, 8)


def test_cases_are_split_once_and_for_all(tmp_path):
    folder = write_volumes(tmp_path, [(8, 9, 7)] * 10, np.eye(4))
    data = load_training_data(folder, tmp_path, fractions=(0.6, 0.2, 0.2))
    again = load_training_data(folder, tmp_path, fractions=(0.6, 0.2, 0.2))
    names = [[case["name"] for case in part] for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in names] == [6, 2, 2]
    assert len(set(sum(names, []))) == 10
    assert names == [[case["name"] for case in part] for part in (again.train, again.validation, again.test)]
    assert list(data.provenance["cases"].items()) == list(zip(("train", "validation", "test"), names, strict=True))


def test_without_a_folder_synthetic_anatomy_is_made_and_said(tmp_path, caplog):
    with caplog.at_level("INFO"):
        data = load_training_data(None, tmp_path / "made", 2, synthetic={"cases": 5, "size": 24})
    assert "synthetic" in caplog.text and "synthetic 2D" in data.title
    assert data.spatial_dims == 2 and len(data.train + data.validation + data.test) == 5


def test_dimensions_must_fit(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "set", 2, cases=4, size=16)
    with pytest.raises(DatasetError, match=r"set holds 2D images, the network is for volumes: use images.json"):
        load_training_data(folder, tmp_path)


def test_a_2d_network_sees_the_slices_of_volumes(tmp_path):
    data = load_training_data(write_volumes(tmp_path, [(8, 9, 7)] * 3, np.eye(4)), tmp_path, spatial_dims=2)
    assert data.slices and data.spatial_dims == 3 and data.roi_size == (8, 16)


def test_channels_are_named_anew(tmp_path):
    folder = write_volumes(tmp_path, [(8, 9, 7)] * 3, np.eye(4))
    assert load_training_data(folder, tmp_path, channels=["CT [-1000, 1000]"]).channels == ("CT [-1000, 1000]",)
    with pytest.raises(DatasetError, match=r"channels names 2 \(T1, T2\), but the data set has 1"):
        load_training_data(folder, tmp_path, channels=["T1", "T2"])


def test_images_to_segment(tmp_path):
    folder = write_volumes(tmp_path / "set", [(8, 9, 7)] * 3, np.eye(4))
    assert images_to_segment(None) == []
    with pytest.raises(DatasetError, match="no image to segment"):
        require_images([], None)
    assert [item["name"] for item in images_to_segment(folder)] == ["case_0", "case_1", "case_2"]
    (folder / "imagesTs").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), folder / "imagesTs" / "new.nii.gz")
    (folder / "imagesTs" / "._new.nii.gz").write_bytes(b"resource fork")
    assert [item["name"] for item in images_to_segment(folder)] == ["new"]
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(plain / "a.png")
    (plain / "notes.json").write_text(json.dumps({}))
    assert images_to_segment(plain) == [{"image": str(plain / "a.png"), "name": "a"}]


def save_zeros(folder, *names, size=(4, 4, 4)):
    folder.mkdir(exist_ok=True)
    for name in names:
        if name.endswith((".png", ".jpg")):
            Image.fromarray(np.zeros(size[:2], np.uint8)).save(folder / name)
        else:
            nib.save(nib.Nifti1Image(np.zeros(size, np.float32), np.eye(4)), folder / name)
    return folder


def test_channel_files_of_a_case_are_segmented_together(tmp_path):
    names = ("a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    folder = save_zeros(tmp_path, *names)
    expected = {name: [str(folder / f"{name}_000{n}.nii.gz") for n in (0, 1)] for name in "ab"}
    assert {item["name"]: item["image"] for item in images_to_segment(folder, 2)} == expected
    assert [item["name"] for item in images_to_segment(folder)] == [name[:6] for name in names]
    save_zeros(folder, "b_0001.nii.gz", size=(4, 4, 5))
    with pytest.raises(ImageError, match=r"b_0001.nii.gz has 4x4x5 voxels, but .*b_0000.nii.gz 4x4x4"):
        images_to_segment(folder, 2)
    (folder / "b_0001.nii.gz").unlink()
    with pytest.raises(ImageError, match=r"b has the channel files 0000, but the network takes 2 channels"):
        images_to_segment(folder, 2)


def test_channel_number_is_no_part_of_the_name_in_a_folder_of_one_channel(tmp_path):
    folder = save_zeros(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz")
    assert images_to_segment(folder)[0] == {"image": str(folder / "a_0000.nii.gz"), "name": "a"}


@pytest.mark.parametrize("names", [("a.nii", "a.nii.gz"), ("a.png", "a.jpg"), ("a_0000.nii", "a_0000.nii.gz")])
def test_two_images_of_one_name_are_refused(tmp_path, names):
    with pytest.raises(DatasetError, match=r".*a(_0000)?\.\S+ and .* would both be written as a; rename or move one"):
        images_to_segment(save_zeros(tmp_path, *names))


def test_images_without_orientation_are_told_before_anything_is_segmented(tmp_path, caplog):
    for name in "abc":
        image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4) if name == "a" else None)
        nib.save(image, tmp_path / f"{name}.nii.gz")
    (tmp_path / "d.nii.gz").write_bytes(b"damaged")
    assert len(images_to_segment(tmp_path)) == 4
    (message,) = [text for text in caplog.messages if "no orientation" in text]
    assert "b.nii.gz has no orientation in its header" in message and "2 of 4 images are like this" in message
