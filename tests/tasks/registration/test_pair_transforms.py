from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import PairSlice, common_size, registration_preprocessing


@pytest.mark.parametrize("shape", [(1, 31), (2, 7, 9), (1, 5, 6, 7)])
def test_unit_intensity_is_the_clip_and_scale_of_the_formula(shape):
    image = torch.randn(shape) * 1e5 + 3e5
    for channel, scaled in zip(image.double().numpy(), UnitIntensity()(image).numpy(), strict=True):
        low, high = np.percentile(channel, (0.5, 99.5))
        np.testing.assert_allclose(scaled, (channel.clip(low, high) - low) / (high - low), atol=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0, 5.0, 5.0], [0.0, 0.0, 0.0]),
        ([float("nan")] * 3, [0.0, 0.0, 0.0]),
        ([float("nan"), 2.0, float("inf")], [0.0, 0.0, 0.0]),
        ([1.0], [0.0]),
        ([3.4e38, -1.0, 1.0], [0.0, 0.0, 1.0]),
    ],
)
def test_unit_intensity_of_odd_images(values, expected):
    assert UnitIntensity()(torch.tensor([values])).tolist() == [pytest.approx(expected)]


def test_a_few_bright_voxels_are_not_clipped_away():
    image = torch.zeros(1, 20, 20, 20)
    image[0, 3, 4, 5] = 7
    scaled = UnitIntensity()(image)
    assert float(scaled[0, 3, 4, 5]) == 1 and float(scaled.sum()) == 1


def _oriented(write, path, array, codes, spacing=(1, 1, 1)):
    """Write a RAS array in another orientation, with the affine that says so."""
    image = nib.Nifti1Image(array, np.diag([*spacing, 1.0]))
    target = nib.orientations.axcodes2ornt(codes)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(image.affine), target))
    return write(path, np.asarray(turned.dataobj), turned.affine)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PSR"])
def test_volumes_come_out_in_ras_and_centred(tmp_path, write, codes):
    voxels = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    label = (voxels > 100).astype(np.uint8) * 3
    case = {
        "image": str(_oriented(write, tmp_path / "i.nii.gz", voxels, codes)),
        "label": str(_oriented(write, tmp_path / "l.nii.gz", label, codes)),
        "name": "i",
    }
    out = registration_preprocessing(("MRI",), 3, (8, 3, 7), label_values=(0, 3))(case)
    scaled = UnitIntensity()(torch.from_numpy(voxels)[None])
    expected, classes = torch.zeros(1, 8, 3, 7), torch.zeros(1, 8, 3, 7, dtype=torch.uint8)
    expected[:, 1:6] = scaled[:, :, 2:5]
    classes[:, 1:6] = torch.from_numpy(label)[None, :, 2:5] // 3
    assert torch.equal(out["image"], expected) and torch.equal(out["label"], classes)
    assert type(out["image"]) is torch.Tensor and out["name"] == "i"


def test_labels_stay_on_the_image_through_spacing(tmp_path, write):
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[2:6, 2:6, 2:6] = 1
    affine = np.diag([2, 2, 2, 1.0])
    case = {"image": str(write(tmp_path / "i.nii.gz", voxels, affine))}
    case["label"] = str(write(tmp_path / "l.nii.gz", voxels.astype(np.uint8), affine))
    out = registration_preprocessing(("MRI",), 3, (20, 20, 20), spacing=(1, 1, 1), label_values=(0, 1))(case)
    assert 0.9 < int(out["label"].sum()) / 8**3 < 1.1
    assert ((out["image"] > 0.5) == (out["label"] > 0)).float().mean() > 0.95


def test_pictures_and_own_sizes(tmp_path, write):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8), dtype=np.uint8)
    case = {"image": str(write(tmp_path / "a.png", pixels))}
    out = registration_preprocessing(("grey",), 2)(case)
    assert tuple(out["image"].shape) == (1, 8, 5)
    assert torch.equal(out["image"], UnitIntensity()(torch.from_numpy(pixels.T.copy())[None]))
    assert tuple(registration_preprocessing(("red", "green", "blue"), 2, (9, 9))(case)["image"].shape) == (3, 9, 9)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"spatial_dims": 4}, "spatial_dims"),
        ({"spatial_dims": 3, "slices": True}, "slices=True"),
        ({"spatial_dims": 2, "spacing": (1, 1, 1)}, "spacing"),
        ({"spatial_dims": 3, "spacing": (1, 1, 0)}, "spacing"),
        ({"spatial_dims": 3, "sizes": (8, 8)}, "sizes must be 3"),
        ({"spatial_dims": 2, "slices": True, "sizes": (8, 8)}, "sizes must be 3"),
        ({"spatial_dims": 2, "sizes": (8, 0)}, "sizes must be 2"),
    ],
)
def test_bad_arguments_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        registration_preprocessing(("MRI",), **arguments)


def test_common_size_holds_all_in_ras_axes(tmp_path, write, caplog):
    _oriented(write, tmp_path / "a.nii.gz", np.zeros((5, 17, 9), np.float32), "PSR")
    _oriented(write, tmp_path / "b.nii.gz", np.zeros((11, 6, 24), np.float32), "LAS", (1, 1, 2))
    images = read_pairs(tmp_path)
    assert common_size(images) == (16, 24, 24)
    assert common_size(images, spacing=(1, 1, 1)) == (16, 24, 48)
    assert not caplog.text
    assert common_size(images, largest=20) == (16, 20, 20)
    assert "11x17x24 voxels are cropped to 20" in caplog.text


def test_common_size_of_hippocampus(shared_data):
    assert common_size(read_pairs(shared_data / "Task04_Hippocampus")) == (48, 64, 48)


def _pair(*sizes, **more):
    images = {key: torch.rand(1, *sizes) for key in ("moving", "fixed")}
    labels = {f"{key}_label": (image > 0.5).to(torch.uint8) for key, image in images.items()}
    return {**images, **labels, "name": "a to b", **more}


@pytest.mark.parametrize(("classes", "dtype"), [(300, torch.int16), (40000, torch.int32)])
def test_any_number_of_classes_keeps_its_indices(tmp_path, classes, dtype):
    values = np.arange(classes, dtype=np.int64).reshape(20, -1, 5) * 100000
    image = np.arange(classes, dtype=np.float32).reshape(20, -1, 5)
    for name, array in (("image", image), ("label", values)):
        nib.save(nib.Nifti1Image(array, np.eye(4), dtype=array.dtype), tmp_path / f"{name}.nii.gz")
    preprocessing = registration_preprocessing(("MRI",), 3, label_values=np.unique(values).tolist())
    case = preprocessing({key: str(tmp_path / f"{key}.nii.gz") for key in ("image", "label")})
    assert case["label"].dtype == dtype
    assert case["label"].flatten().tolist() == list(range(classes))


def test_slice_of_most_labels_or_the_middle():
    pair = _pair(5, 6, 7)
    pair["fixed_label"][:] = 0
    pair["fixed_label"][0, 1:4, 2, 5] = 2
    out = PairSlice()(pair)
    for key in ("moving", "fixed", "moving_label", "fixed_label"):
        assert torch.equal(out[key], pair[key][..., 5])
    plain = {key: pair[key] for key in ("moving", "fixed")}
    assert torch.equal(PairSlice()(plain)["moving"], pair["moving"][..., 3])


def test_random_slices_show_both_images():
    pair = _pair(5, 6, 7)
    pair["moving"][..., :2] = 0
    pair["fixed"][..., 5:] = 0
    choose = PairSlice(random=True)
    choose.set_random_state(0)
    shown = [choose(pair)["moving"] for _ in range(60)]
    found = {next(z for z in range(7) if torch.equal(image, pair["moving"][..., z])) for image in shown}
    assert found == {2, 3, 4}
    empty = {key: torch.zeros(1, 3, 4, 5) for key in ("moving", "fixed")}
    assert tuple(choose(empty)["fixed"].shape) == (1, 3, 4)


def test_fields_are_kept_where_they_lie_in_the_slice():
    field = torch.rand(3, 5, 6, 7)
    assert "field" not in PairSlice()(_pair(5, 6, 7, field=field))
    field[2] = 0
    pair = _pair(5, 6, 7, field=field)
    pair["fixed_label"][:] = 0
    assert torch.equal(PairSlice()(pair)["field"], field[:2, ..., 3])
