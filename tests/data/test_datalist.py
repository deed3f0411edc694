from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from monai.data import partition_dataset

from monai_hyperscale.data import check_dataset, read_dataset, split_cases
from monai_hyperscale.errors import DatasetError

DECATHLON = {
    "modality": {"0": "FLAIR", "1": "T1w"},
    "labels": {"0": "background", "1": "edema", "2": "tumour"},
    "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in "dbac"],
}


def _describe(folder, **changes):
    description = {**DECATHLON, **changes}
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in description.items() if v is not None}))


def test_decathlon(volumes):
    _describe(volumes)
    data = read_dataset(str(volumes))
    assert [case["name"] for case in data.cases] == list("abcd")
    assert data.cases[0] == {
        "image": str(volumes / "imagesTr" / "a.nii.gz"),
        "label": str(volumes / "labelsTr" / "a.nii.gz"),
        "name": "a",
    }
    assert (data.channels, data.labels) == (("FLAIR", "T1w"), {1: "edema", 2: "tumour"})
    assert (data.spatial_dims, data.label_values) == (3, (0, 1, 2))
    assert read_dataset(volumes / "dataset.json") == data


def test_ten_channels_are_sorted_as_numbers(volumes):
    _describe(volumes, modality={str(n): f"echo {n}" for n in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)})
    assert read_dataset(volumes).channels == tuple(f"echo {n}" for n in range(11))


def test_label_values_with_gaps_become_consecutive_classes(volumes):
    _describe(volumes, labels={"17": "left hippocampus", "0": "background", "4": "ventricle"})
    data = read_dataset(volumes)
    assert data.labels == {1: "ventricle", 2: "left hippocampus"}
    assert data.label_values == (0, 4, 17)


def test_nnunet_with_one_file_per_channel(tmp_path, write):
    for name in ("case_0001", "case_0002"):
        for channel in range(2):
            write(tmp_path / "imagesTr" / f"{name}_{channel:04d}.nii.gz", np.zeros((3, 4, 5), np.float32))
        write(tmp_path / "labelsTr" / f"{name}.nii.gz", np.ones((3, 4, 5), np.uint8))
    description = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "PZ": 1}, "numTraining": 2}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    data = read_dataset(tmp_path)
    expected = [str(tmp_path / "imagesTr" / f"case_0001_{channel:04d}.nii.gz") for channel in range(2)]
    assert data.cases[0]["image"] == expected
    assert [case["name"] for case in data.cases] == ["case_0001", "case_0002"]
    assert (data.channels, data.labels) == (("T2", "ADC"), {1: "PZ"})
    # The older form lists names without the channel, and the newest lists files by case.
    listed = {"training": [{"image": "./imagesTr/case_0001.nii.gz", "label": "./labelsTr/case_0001.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps({**description, **listed}))
    assert read_dataset(tmp_path).cases == data.cases[:1]
    files = [f"imagesTr/case_0001_{channel:04d}.nii.gz" for channel in range(2)]
    listed = {"dataset": {"case_0001": {"images": files, "label": "labelsTr/case_0001.nii.gz"}}}
    (tmp_path / "dataset.json").write_text(json.dumps({**description, **listed}))
    assert read_dataset(tmp_path).cases[0]["image"] == expected


def test_folders_without_json(volumes, write, caplog):
    write(volumes / "imagesTr" / "alone.nii.gz", np.zeros((4, 5, 6), np.float32))
    (volumes / "imagesTr" / "._a.nii.gz").write_bytes(b"resource fork")
    (volumes / "imagesTr" / "notes.txt").write_text("not an image")
    with caplog.at_level(logging.WARNING):
        data = read_dataset(volumes)
    assert [case["name"] for case in data.cases] == list("abcd")
    assert "alone" in caplog.text and "1 files have no partner" in caplog.text
    assert (data.channels, data.labels) == (("image",), {1: "label 1", 2: "label 2"})


def test_suffixes_may_differ_and_names_may_end_in_four_digits(tmp_path, write):
    for name in ("cell_0001", "cell_0002", "cell_0003"):
        write(tmp_path / "images" / f"{name}.jpg", np.zeros((4, 6), np.uint8))
        write(tmp_path / "labels" / f"{name}.png", np.eye(4, 6, dtype=np.uint8))
    data = read_dataset(tmp_path)
    assert [case["name"] for case in data.cases] == ["cell_0001", "cell_0002", "cell_0003"]
    assert all(isinstance(case["image"], str) for case in data.cases)
    assert (data.channels, data.spatial_dims) == (("grey",), 2)


def test_grey_levels_of_all_files_become_classes(tmp_path, write):
    for index, values in enumerate(([0, 255], [0, 128], [0, 0])):
        write(tmp_path / "images" / f"{index}.png", np.zeros((1, 2, 3), np.uint8))
        write(tmp_path / "labels" / f"{index}.png", np.array([values], np.uint8))
    data = read_dataset(tmp_path)
    assert data.label_values == (0, 128, 255)
    assert data.labels == {1: "label 128", 2: "label 255"}
    assert data.channels == ("red", "green", "blue")


def test_one_colour_file_makes_a_colour_data_set(tmp_path, write):
    for index in range(3):
        shape = (4, 5, 4) if index == 2 else (4, 5)
        write(tmp_path / "images" / f"{index}.png", np.zeros(shape, np.uint8))
        write(tmp_path / "labels" / f"{index}.png", np.ones((4, 5), np.uint8))
    data = read_dataset(tmp_path)
    assert data.channels == ("red", "green", "blue")
    check_dataset(data)


def test_channels_of_4d_volumes_are_numbered(tmp_path, write):
    write(tmp_path / "imagesTr" / "a.nii.gz", np.zeros((3, 4, 5, 2), np.float32))
    write(tmp_path / "labelsTr" / "a.nii.gz", np.ones((3, 4, 5), np.uint8))
    assert read_dataset(tmp_path).channels == ("channel 0", "channel 1")


@pytest.mark.parametrize("path", ["../secret.nii.gz", "imagesTr/../../secret.nii.gz", "/etc/secret.nii.gz"])
@pytest.mark.parametrize("key", ["image", "label"])
def test_paths_out_of_the_folder_are_refused(volumes, path, key):
    _describe(volumes, training=[{**DECATHLON["training"][0], key: path}])
    with pytest.raises(DatasetError, match="outside the data-set folder"):
        read_dataset(volumes)


def test_paths_through_the_folder_are_fine(volumes):
    entry = {"image": "labelsTr/../imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}
    _describe(volumes, training=[entry])
    assert read_dataset(volumes).cases[0]["image"] == str(volumes / "imagesTr" / "a.nii.gz")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training": []}, "no case"),
        ({"training": {"a": 1}}, "must be a list"),
        ({"training": ["imagesTr/a.nii.gz"]}, "each training case"),
        ({"training": [{"image": [3], "label": "labelsTr/a.nii.gz"}]}, "must be text"),
        ({"training": DECATHLON["training"] + DECATHLON["training"][:1]}, "two cases named 'd'"),
        ({"labels": {"0": "background"}}, "at least one label above 0"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions"),
        ({"labels": {"background": 0, "tumour": 1, "ignore": 2}}, "ignore"),
        ({"labels": {"background": 0, "tumour": 1, "edema": 1}}, "one number to two names"),
        ({"labels": {"a": "b"}}, "must map numbers to names"),
        ({"labels": ["a"]}, "must map numbers to names"),
        ({"modality": {"first": "MRI"}}, "numbered"),
    ],
)
def test_bad_descriptions_are_refused(volumes, changes, reason):
    _describe(volumes, **changes)
    with pytest.raises(DatasetError, match=reason):
        read_dataset(volumes)


def test_bad_folders_are_refused(volumes, tmp_path_factory, write):
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(volumes / "nowhere")
    with pytest.raises(DatasetError, match="no list of cases"):
        read_dataset(volumes / "imagesTr")
    (volumes / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="not valid JSON"):
        read_dataset(volumes)
    (volumes / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match="must hold a JSON object"):
        read_dataset(volumes)
    (volumes / "dataset.json").unlink()
    write(volumes / "imagesTr" / "a.nii", np.zeros((4, 5, 6), np.float32))
    with pytest.raises(DatasetError, match=r"both a\.nii and a\.nii\.gz"):
        read_dataset(volumes)
    shutil.rmtree(volumes / "imagesTr")
    (volumes / "imagesTr").mkdir()
    with pytest.raises(DatasetError, match="no image .* has a label of the same name"):
        read_dataset(volumes)


def test_scanned_values_must_look_like_labels(tmp_path, write):
    write(tmp_path / "images" / "a.png", np.zeros((20, 20), np.uint8))
    label = tmp_path / "labels" / "a.png"
    write(label, np.zeros((20, 20), np.uint8))
    with pytest.raises(DatasetError, match="background"):
        read_dataset(tmp_path)
    write(label, np.arange(400, dtype=np.uint16).reshape(20, 20))
    with pytest.raises(DatasetError, match="399 values from 1 to 399"):
        read_dataset(tmp_path)


def test_split_is_that_of_monai_where_shares_come_out_even():
    cases = [{"name": str(n)} for n in range(200)]
    expected = partition_dataset(cases, ratios=(0.75, 0.05, 0.2), shuffle=True, seed=0)
    assert list(split_cases(cases)) == expected
    assert split_cases(cases, seed=1)[0] != expected[0]


@pytest.mark.parametrize("count", [3, 4, 5, 7, 11, 32, 33])
def test_split_loses_no_case_and_leaves_no_part_empty(count):
    cases = [{"name": str(n)} for n in range(count)]
    parts = split_cases(cases, (0.75, 0.05, 0.2), seed=count)
    assert min(len(part) for part in parts) >= 1
    assert sorted(case["name"] for part in parts for case in part) == sorted(case["name"] for case in cases)


def test_split_limits():
    assert [len(part) for part in split_cases([{}] * 2, (1, 0, 1))] == [1, 0, 1]
    with pytest.raises(DatasetError, match="cannot be split into 3 parts"):
        split_cases([{}, {}])
    with pytest.raises(ValueError, match="three shares"):
        split_cases([{}] * 5, (0.5, 0.5))


def test_hippocampus(shared_data):
    data = read_dataset(shared_data / "Task04_Hippocampus")
    assert (len(data.cases), data.channels, data.spatial_dims) == (200, ("MRI",), 3)
    assert (data.labels, data.label_values) == ({1: "Anterior", 2: "Posterior"}, (0, 1, 2))
    assert data.cases[0]["name"] == "hippocampus_001"
    check_dataset(data, limit=20)


@pytest.mark.parametrize(
    ("folder", "cases", "channels", "labels"),
    [("wbc/d1_120", 240, ("red", "green", "blue"), 2), ("nuclei", 260, ("grey",), 1)],
)
def test_image_folders(shared_data, folder, cases, channels, labels):
    data = read_dataset(shared_data / folder)
    assert (len(data.cases), data.channels, data.spatial_dims) == (cases, channels, 2)
    assert data.labels == {n: f"label {n}" for n in range(1, labels + 1)}
    check_dataset(data, limit=20)
