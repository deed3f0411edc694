from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates

from monai_hyperscale.data import synthetic_case
from monai_hyperscale.tasks.registration.pair_files import check_pairs, read_pairs
from monai_hyperscale.tasks.registration.pairs import split_pairs
from monai_hyperscale.tasks.registration.synthetic_pairs import synthetic_pair, write_synthetic_pairs


@pytest.mark.parametrize("dims", [2, 3])
def test_fixed_is_the_moving_image_warped(dims):
    pair = synthetic_pair(seed=5, spatial_dims=dims, size=24)
    sizes = (24, 27, 21)[:dims]
    assert [pair[key].shape for key in ("moving", "fixed", "moving_label", "fixed_label")] == [sizes] * 4
    assert pair["field"].shape == (dims, *sizes)
    for key in ("moving", "fixed"):
        assert pair[key].dtype == np.float32 and 0 <= pair[key].min() < 0.3 < 0.7 < pair[key].max() <= 1
    where = np.indices(sizes) + pair["field"]
    moved = map_coordinates(pair["moving"], where, order=1, mode="nearest")
    label = map_coordinates(pair["moving_label"], where, order=0, mode="nearest")
    assert np.array_equal(label, pair["fixed_label"]) and set(np.unique(label)) == {0, 1, 2, 3}
    before, after = (np.sqrt(((image - pair["fixed"]) ** 2).mean()) for image in (pair["moving"], moved))
    assert before > 0.03 and after < 0.022  # noise of 0.01 in both, and interpolation


@pytest.mark.parametrize("dims", [2, 3])
def test_displacements_are_smooth_and_end_at_the_border(dims):
    lengths = []
    for seed in range(4):
        field = synthetic_pair(seed, dims, size=20)["field"]
        for axis in range(1, dims + 1):
            assert np.abs(np.take(field, [0, -1], axis=axis)).max() < 1e-5
        jacobian = np.stack([np.stack(np.gradient(part)) for part in field.astype(np.float64)])
        determinant = np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1)) + np.eye(dims))
        assert 0.19 < determinant.min() < 1 < determinant.max()
        lengths.append(np.linalg.norm(field, axis=0).max())
    assert max(lengths) <= 0.15 * 20 + 1e-5 and min(lengths) > 1


def test_there_is_something_to_follow_everywhere():
    image = synthetic_pair(seed=2, spatial_dims=2, size=48)["moving"]
    blocks = image.reshape(8, 6, 9, 6).std(axis=(1, 3))
    assert blocks.min() > 0.02


def test_displacement_may_stay_in_the_slices():
    field = synthetic_pair(seed=1, size=16, in_plane=True)["field"]
    assert not field[2].any() and field[:2].any()
    still = synthetic_pair(seed=1, size=16, displacement=0.0)
    assert not still["field"].any() and np.array_equal(still["moving_label"], still["fixed_label"])
    assert not np.array_equal(still["moving"], still["fixed"]), "each image has noise of its own"


def test_pairs_depend_on_the_seed_alone():
    first, again, other = (synthetic_pair(seed, 2, size=16) for seed in ([0, 1], [0, 1], [0, 2]))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not np.allclose(first["field"], other["field"]) and not np.allclose(first["moving"], other["moving"])


@pytest.mark.parametrize("arguments", [{"displacement": 0.3}, {"displacement": -0.1}, {"size": 7}, {"labels": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        synthetic_pair(0, 2, **arguments)


def test_cases_of_exact_size():
    assert synthetic_case(0, 3, (9, 11, 8))[0].shape == (9, 11, 8)
    for size in ((9, 11), (9, 11, 7)):
        with pytest.raises(ValueError, match="at least 8 voxels"):
            synthetic_case(0, 3, size)


@pytest.mark.parametrize("dims", [2, 3])
def test_written_pairs_can_be_used(tmp_path, dims):
    folder = write_synthetic_pairs(tmp_path / "new" / "pairs", dims, pairs=5, size=16, labels=2, seed=7)
    images = read_pairs(folder)
    check_pairs(images)
    assert (len(images.cases), images.spatial_dims, len(images.pair_list)) == (10, dims, 5)
    assert images.labels == {1: "structure 1", 2: "structure 2"} and images.pair_list.has_fields
    assert images.channels == (("synthetic",) if dims == 3 else ("grey",))
    assert [len(part) for part in split_pairs(images, (0.6, 0.2, 0.2))] == [3, 1, 1]
    assert "no real anatomy" in json.loads((folder / "pairs.json").read_text())["description"]
    assert [path.name for path in folder.parent.iterdir()] == ["pairs"]


@pytest.mark.parametrize("dims", [2, 3])
def test_simpleitk_applies_the_written_field(tmp_path, dims):
    folder = write_synthetic_pairs(tmp_path / "pairs", dims, pairs=1, size=24, labels=1)
    entry = json.loads((folder / "pairs.json").read_text())["pairs"][0]
    moving, fixed = (sitk.ReadImage(folder / entry[key], sitk.sitkFloat32) for key in ("moving", "fixed"))
    field = sitk.ReadImage(folder / entry["field"], sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(field)
    moved = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0)
    arrays = [sitk.GetArrayFromImage(image) for image in (moving, moved, fixed)]
    unit = 255 if dims == 2 else 1000
    before, after = (np.sqrt(((array - arrays[2]) ** 2).mean()) / unit for array in arrays[:2])
    assert before > 0.03 and after < 0.022


def _stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}


def test_complete_pairs_are_used_again_and_others_replaced(tmp_path):
    arguments = {"spatial_dims": 2, "pairs": 2, "size": 12, "labels": 1}
    folder = write_synthetic_pairs(tmp_path / "a", **arguments)
    before = _stamps(folder)
    assert write_synthetic_pairs(folder, **arguments) == folder and _stamps(folder) == before
    (folder / "fields" / "pair_001.nii.gz").unlink()
    write_synthetic_pairs(folder, **arguments)
    assert (folder / "fields" / "pair_001.nii.gz").is_file()
    write_synthetic_pairs(folder, **{**arguments, "displacement": 0.1})
    assert json.loads((folder / "pairs.json").read_text())["synthetic"]["displacement"] == 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
