from __future__ import annotations

import json

import numpy as np
import pytest

from monai_hyperscale.errors import DatasetError
from monai_hyperscale.tasks.registration.pair_files import check_pairs, read_pairs
from monai_hyperscale.tasks.registration.pairs import Pair
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs


def _names(images):
    return [pair["name"] for pair in images.pair_list]


def test_labelled_data_set(volumes):
    images = read_pairs(volumes)
    assert [case["name"] for case in images.cases] == list("abcd")
    assert len(images.pair_list) == 12 and all("label" in case for case in images.cases)
    assert (images.channels, images.labels) == (("image",), {1: "label 1", 2: "label 2"})
    assert images.label_values == (0, 1, 2)
    check_pairs(images)


@pytest.mark.parametrize("folder", ["imagesTr", "images", "."])
@pytest.mark.parametrize("dims", [2, 3])
def test_images_without_labels(tmp_path, write, folder, dims):
    suffix, sizes = (".png", (5, 4)) if dims == 2 else (".nii.gz", (4, 5, 6))
    for name in "ab":
        write(tmp_path / folder / f"{name}{suffix}", np.zeros(sizes, np.uint8))
    (tmp_path / folder / "notes.txt").write_text("not an image")
    images = read_pairs(tmp_path)
    assert (_names(images), images.spatial_dims) == (["a to b", "b to a"], dims)
    assert (images.labels, images.label_values) == ({}, ())
    check_pairs(images)


def test_decathlon_list_without_labels(volumes):
    (volumes / "dataset.json").write_text(
        json.dumps({"modality": {"0": "T2"}, "training": ["imagesTr/b.nii.gz", {"image": "./imagesTr/a.nii.gz"}]})
    )
    images = read_pairs(volumes)
    assert (_names(images), images.channels, images.labels) == (["a to b", "b to a"], ("T2",), {})


def test_atlas_of_the_folder(volumes):
    images = read_pairs(volumes, atlas="c")
    assert _names(images) == ["a to c", "b to c", "d to c"] and all("label" in case for case in images.cases)


@pytest.mark.parametrize("labelled", [False, True])
def test_atlas_from_elsewhere(volumes, tmp_path_factory, write, labelled):
    path = write(tmp_path_factory.mktemp("atlas") / "mean.nii.gz", np.zeros((4, 5, 6), np.float32))
    label = write(path.with_name("label.nii.gz"), np.ones((4, 5, 6), np.uint8))
    images = read_pairs(volumes, atlas=path, atlas_label=label if labelled else None)
    assert _names(images) == [f"{name} to mean" for name in "abcd"]
    assert all("label" in case for case in images.cases) is labelled and bool(images.labels) is labelled
    check_pairs(images)


def test_json_list_of_paths(volumes):
    pair = ["imagesTr/b.nii.gz", "imagesTr/d.nii.gz"]
    entries = [{"moving": "imagesTr/a.nii.gz", "fixed": "imagesTr/b.nii.gz"}, pair]
    (volumes / "pairs.json").write_text(json.dumps(entries))
    images = read_pairs(volumes)
    assert (_names(images), images.labels) == (["a to b", "b to d"], {})
    assert images.pairs == (Pair(0, 1), Pair(1, 2))
    labelled = dict(zip(("moving", "fixed"), pair, strict=True))
    labelled |= {f"{key}_label": file.replace("images", "labels") for key, file in labelled.items()}
    (volumes / "pairs.json").write_text(json.dumps({"pairs": [labelled], "labels": {"1": "x", "2": "y"}}))
    images = read_pairs(volumes)
    assert images.labels == {1: "x", 2: "y"} and all("label" in case for case in images.cases)
    check_pairs(images)


def test_csv_list_of_cases_of_the_folder(volumes, tmp_path_factory):
    listing = tmp_path_factory.mktemp("lists") / "my pairs.CSV"
    listing.write_text("moving, fixed\nb, a\na, d\n")
    images = read_pairs(volumes, pairs=listing)
    assert _names(images) == ["b to a", "a to d"]
    assert images.labels == {1: "label 1", 2: "label 2"} and all("label" in case for case in images.cases)


def test_paths_of_a_list_that_the_user_names_may_lie_anywhere(volumes, tmp_path_factory):
    listing = tmp_path_factory.mktemp("lists") / "pairs.json"
    pair = [str(volumes / "imagesTr" / "a.nii.gz"), str(volumes / "imagesTr" / "b.nii.gz")]
    listing.write_text(json.dumps([pair]))
    images = read_pairs(volumes, pairs=listing)
    assert [case["image"] for case in images.cases] == pair
    (volumes / "pairs.json").write_text(json.dumps([["../a.nii.gz", "imagesTr/b.nii.gz"]]))
    with pytest.raises(DatasetError, match=r"pairs\.json names '\.\./a\.nii\.gz', outside"):
        read_pairs(volumes)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, write):
    for patient in ("sub-1", "sub-2"):
        for visit in ("first", "second"):
            write(tmp_path / patient / f"{visit}.nii.gz", np.zeros((4, 5, 6), np.float32))
    entries = [[f"{patient}/first.nii.gz", f"{patient}/second.nii.gz"] for patient in ("sub-1", "sub-2")]
    (tmp_path / "pairs.json").write_text(json.dumps(entries))
    assert _names(read_pairs(tmp_path)) == ["sub-1_first to sub-1_second", "sub-2_first to sub-2_second"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "lists no pair"),
        ('{"pairs": 3}', "lists no pair"),
        ('[{"moving": "imagesTr/a.nii.gz"}]', "needs 'moving' and 'fixed'"),
        ('[["imagesTr/a.nii.gz", 3]]', "as text"),
        ('[["imagesTr/a.nii.gz", "imagesTr/a.nii.gz"]]', "with itself"),
        ('[["a", "x"]]', "neither an image file nor a case"),
    ],
)
def test_bad_lists_are_refused(volumes, text, reason):
    (volumes / "pairs.json").write_text(text)
    with pytest.raises(DatasetError, match=reason):
        read_pairs(volumes)


def test_bad_folders_and_atlases_are_refused(volumes, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DatasetError, match="does not exist"):
        read_pairs(volumes / "nowhere")
    with pytest.raises(DatasetError, match="holds no images"):
        read_pairs(empty)
    with pytest.raises(DatasetError, match="atlas 'e' is neither a case of the folder"):
        read_pairs(volumes, atlas="e")
    (volumes / "pairs.json").write_text('[["a", "b"]]')
    with pytest.raises(DatasetError, match="leave the atlas out"):
        read_pairs(volumes, pairs=volumes / "pairs.json", atlas="a")
    assert _names(read_pairs(volumes, atlas="a")) == ["b to a", "c to a", "d to a"]


def test_check_finds_images_of_other_dimensions(tmp_path, write):
    write(tmp_path / "images" / "a.nii.gz", np.zeros((4, 5, 6), np.float32))
    write(tmp_path / "images" / "b.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(DatasetError, match=r"b\.png has 2 axes, where the data set's first case has 3"):
        check_pairs(read_pairs(tmp_path))


def test_check_finds_what_is_missing(volumes):
    (volumes / "pairs.json").write_text('[["imagesTr/a.nii.gz", "imagesTr/z.nii.gz"]]')
    with pytest.raises(DatasetError, match=r"1 of 2 files of the data set are missing, .*z\.nii\.gz"):
        check_pairs(read_pairs(volumes))
    for name in "bcd":
        (volumes / "imagesTr" / f"{name}.nii.gz").unlink()
        (volumes / "labelsTr" / f"{name}.nii.gz").unlink()
    (volumes / "pairs.json").unlink()
    with pytest.raises(DatasetError, match="there is 1 image; a pair needs two"):
        check_pairs(read_pairs(volumes))


def test_check_finds_labels_of_another_grid(volumes, write):
    write(volumes / "labelsTr" / "b.nii.gz", np.ones((4, 5, 7), np.uint8))
    with pytest.raises(DatasetError, match="has size 4×5×7"):
        check_pairs(read_pairs(volumes))


def test_check_tells_of_different_voxel_sizes(volumes, write, caplog):
    write(volumes / "images" / "a.nii.gz", np.zeros((4, 5, 6), np.float32), np.diag([1, 1, 2.5, 1]))
    write(volumes / "images" / "b.nii.gz", np.zeros((4, 5, 6), np.float32))
    (volumes / "pairs.json").write_text('[["images/a.nii.gz", "images/b.nii.gz"]]')
    check_pairs(read_pairs(volumes))
    assert "from [1.0, 1.0, 1.0] to [1.0, 1.0, 2.5] mm" in caplog.text


def test_check_finds_fields_of_another_grid(tmp_path, write):
    folder = write_synthetic_pairs(tmp_path / "pairs", 3, pairs=2, size=12, labels=1)
    check_pairs(read_pairs(folder))
    pair = json.loads((folder / "pairs.json").read_text())["pairs"][0]
    write(folder / pair["moving"], np.zeros((12, 13, 11), np.int16))
    write(folder / pair["moving_label"], np.ones((12, 13, 11), np.uint8))
    with pytest.raises(DatasetError, match="lies 6.0 voxels off"):
        check_pairs(read_pairs(folder))
    write(folder / pair["fixed"], np.zeros((12, 13, 11), np.int16))
    write(folder / pair["fixed_label"], np.ones((12, 13, 11), np.uint8))
    with pytest.raises(DatasetError, match=r"pair_000\.nii\.gz lies 6.0 voxels off"):
        check_pairs(read_pairs(folder))


def test_hippocampus(shared_data):
    images = read_pairs(shared_data / "Task04_Hippocampus")
    assert len(images.cases) == 200 and images.labels == {1: "Anterior", 2: "Posterior"}
    check_pairs(images, limit=10)


def test_brain_scans_without_labels(shared_data):
    scans = sorted((shared_data / "open_ms_mni").rglob("*.nii.gz"))
    assert scans, "the folder is there but holds no scans"
    images = read_pairs(scans[0].parent)
    assert images.spatial_dims == 3 and len(images.cases) >= 2
