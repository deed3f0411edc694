from __future__ import annotations

import json
import threading

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.data import (
    check_dataset,
    read_dataset,
    segmentation_preprocessing,
    synthetic_case,
    write_synthetic_dataset,
)
from monai_hyperscale.errors import DatasetError


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("size", "labels"), [(48, 3), (33, 1), (40, 6)])
def test_case(dims, size, labels):
    image, label = synthetic_case(5, dims, size, labels)
    assert image.shape == label.shape and image.ndim == dims
    assert image.dtype == np.float32 and label.dtype == np.uint8
    assert all(abs(n - size) <= size // 8 for n in image.shape)
    assert np.unique(label).tolist() == list(range(labels + 1))
    assert image.min() >= 0 and image.max() < 1.6 and np.isfinite(image).all()
    assert 0.5 < (label == 0).mean() < 0.99


def test_seeds():
    first, again, other = (synthetic_case(seed, 2, 32) for seed in ([1, 2], [1, 2], [1, 3]))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert first[0].shape != other[0].shape or not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("dims", [2, 3])
def test_sizes_vary_with_odd_ones_among_them(dims):
    sizes = {n for seed in range(12) for n in synthetic_case(seed, dims, 24, 1)[0].shape}
    assert len(sizes) >= 4 and any(n % 2 for n in sizes) and any(n % 2 == 0 for n in sizes)


@pytest.mark.parametrize("dims", [2, 3])
def test_structures_keep_their_place_from_case_to_case(dims):
    centres = np.array(
        [
            [(np.argwhere(label == index).mean(axis=0) + 0.5) / label.shape for index in (1, 2, 3)]
            for label in (synthetic_case(seed, dims, 32)[1] for seed in range(16))
        ]
    )
    spread = centres.std(axis=0).max()
    means = centres.mean(axis=0)
    apart = min(np.linalg.norm(means[a] - means[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 2 * spread > 0.02


@pytest.mark.parametrize("dims", [2, 3])
def test_brightness_alone_does_not_tell_structures_apart(dims):
    cases = [synthetic_case(seed, dims, 48) for seed in range(6)]
    edges = np.linspace(0, 1.2, 25)
    for index in (1, 2, 3):
        best = 0.0
        for low in edges:
            for high in (*edges[edges > low], np.inf):
                found = [((image >= low) & (image < high), label == index) for image, label in cases]
                best = max(best, float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in found])))
        assert best < 0.75


@pytest.mark.parametrize("arguments", [{"spatial_dims": 4}, {"size": 4}, {"labels": 0}, {"labels": 21}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="must be"):
        synthetic_case(0, **arguments)


@pytest.mark.parametrize("dims", [2, 3])
def test_data_set_on_disk(tmp_path, dims):
    folder = write_synthetic_dataset(tmp_path / "new" / "data", dims, cases=4, size=24, labels=2, seed=7)
    data = read_dataset(folder)
    check_dataset(data)
    assert (len(data.cases), data.spatial_dims) == (4, dims)
    assert (data.channels, data.labels) == (
        ("synthetic",) if dims == 3 else ("grey",),
        {1: "structure 1", 2: "structure 2"},
    )
    assert "no real anatomy" in json.loads((folder / "dataset.json").read_text())["description"]
    assert [path.name for path in folder.parent.iterdir()] == ["data"]
    # What MONAI reads back is what was made, axis by axis.
    image, label = synthetic_case([7, 1], dims, 24, 2)
    case = segmentation_preprocessing(data.channels, dims, label_values=data.label_values)(data.cases[1])
    assert np.array_equal(case["label"][0].numpy(), label)
    if dims == 2:
        image = image.clip(max=1)
        with Image.open(folder / "imagesTr" / "case_000.png") as picture:
            assert picture.mode == "L"
    assert np.corrcoef(case["image"].numpy().ravel(), image.ravel())[0, 1] > 0.99


def test_volumes_have_a_sensible_header(tmp_path):
    folder = write_synthetic_dataset(tmp_path / "a", 3, cases=3, size=16, labels=1)
    image, label = (nib.load(folder / f"{part}Tr" / "case_002.nii.gz") for part in ("images", "labels"))
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S") and image.header.get_zooms() == (1, 1, 1)
    assert np.array_equal(image.affine, label.affine) and image.header.get_xyzt_units()[0] == "mm"
    centre = nib.affines.apply_affine(image.affine, (np.array(image.shape) - 1) / 2)
    np.testing.assert_allclose(centre, 0, atol=1e-6)


def _stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}


def test_complete_data_are_used_again_and_others_replaced(tmp_path):
    arguments = {"spatial_dims": 2, "cases": 3, "size": 16, "labels": 1}
    folder = write_synthetic_dataset(tmp_path / "a", **arguments)
    before = _stamps(folder)
    assert write_synthetic_dataset(folder, **arguments) == folder and _stamps(folder) == before
    (folder / "labelsTr" / "case_001.png").unlink()
    write_synthetic_dataset(folder, **arguments)
    assert (folder / "labelsTr" / "case_001.png").is_file()
    write_synthetic_dataset(folder, **{**arguments, "cases": 4})
    assert len(read_dataset(folder).cases) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="holds other files"):
        write_synthetic_dataset(tmp_path / "a", 2, cases=3, size=16)
    with pytest.raises(DatasetError, match="is a file"):
        write_synthetic_dataset(tmp_path / "a" / "thesis.txt", 2, cases=3, size=16)
    (tmp_path / "a" / "dataset.json").write_text('{"training": []}')
    with pytest.raises(DatasetError, match="holds other files"):
        write_synthetic_dataset(tmp_path / "a", 2, cases=3, size=16)
    assert (tmp_path / "a" / "thesis.txt").read_text() == "years of work"


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("monai_hyperscale.data.synthetic.json.dumps", fail)
    with pytest.raises(OSError, match="disk full"):
        write_synthetic_dataset(tmp_path / "a", 2, cases=3, size=16)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_end_with_one_whole_data_set(tmp_path):
    errors = []

    def write():
        try:
            write_synthetic_dataset(tmp_path / "a", 2, cases=4, size=16)
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_dataset(read_dataset(tmp_path / "a"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
