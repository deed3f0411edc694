from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.transforms import Compose
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes
from PIL import Image
from scipy.spatial.transform import Rotation

from monai_hyperscale.data import (
    NormalizeChannelsd,
    augmentation,
    inversion,
    read_dataset,
    segmentation_preprocessing,
    slice_sampling,
)

ORIENTATIONS = ["RAS", "LPS", "PSR", "IRP"]
ANGLES = [(0, 0, 0), (17, 5, -9), (30, -40, 50)]


def _affine(orientation, angles, spacing=(0.7, 1.9, 1.2)):
    axes = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(orientation), (9, 11, 8))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ axes.T @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 12.0, 40.25)
    return affine


def _grid(sizes):
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1)


def _case(tmp_path, write, values, affine, image=None):
    """Write a label map and an image that is the same, or another one that is given; return their paths."""
    arrays = {"image": (values if image is None else image).astype(np.float32), "label": values}
    return {kind: str(write(tmp_path / f"{kind}.nii.gz", array, affine)) for kind, array in arrays.items()}


def _geometry_only(preprocessing):
    return Compose([part for part in preprocessing.transforms if not isinstance(part, NormalizeChannelsd)])


def _logits(label, classes):
    return torch.nn.functional.one_hot(torch.as_tensor(label)[0].long(), classes).movedim(-1, 0).float()


@pytest.mark.parametrize("spacing", [None, (1.0, 1.3, 0.9)])
@pytest.mark.parametrize(("orientation", "angles"), list(itertools.product(ORIENTATIONS, ANGLES)))
def test_voxels_and_labels_survive_any_orientation(tmp_path, write, orientation, angles, spacing):
    sizes = (9, 11, 8)
    affine = _affine(orientation, angles)
    # Each voxel of the image holds its own index, in three channels: what is sampled says where it came from.
    values = np.random.default_rng(0).integers(0, 4, sizes).astype(np.uint8)
    files = _case(tmp_path, write, values, affine, _grid(sizes))
    affine = nib.load(files["image"]).affine
    whole = segmentation_preprocessing(("i", "j", "k"), 3, spacing=spacing, label_values=(0, 1, 2, 3))
    preprocessing = _geometry_only(whole)
    case = preprocessing(files)

    result = case["image"].affine.numpy()
    assert aff2axcodes(result) == ("R", "A", "S") if max(angles) < 40 else True
    source = apply_affine(np.linalg.inv(affine) @ result, _grid(case["image"].shape[1:]))
    inside = ((source >= 0) & (source <= np.array(sizes) - 1)).all(axis=-1)
    error = np.abs(np.moveaxis(case["image"].numpy(), 0, -1) - source)[inside]
    assert inside.mean() > 0.5 and error.max() < 1e-3
    if spacing is not None:
        np.testing.assert_allclose(np.linalg.norm(result[:3, :3], axis=0), spacing, rtol=1e-6)

    pred = inversion(preprocessing)({"image": case["image"], "pred": _logits(case["label"], 4)})["pred"]
    assert pred.shape == (1, *sizes) and pred.dtype == torch.int32
    np.testing.assert_allclose(pred.affine.numpy(), affine, atol=1e-5)
    if spacing is None:
        assert np.array_equal(pred[0].numpy(), values)


def test_finer_spacing_gives_labels_back_exactly(tmp_path, write):
    values = np.random.default_rng(1).integers(0, 3, (6, 7, 5)).astype(np.uint8)
    affine = _affine("LPS", (10, -5, 3), spacing=(3.0, 2.0, 4.0))
    preprocessing = segmentation_preprocessing(("MRI",), 3, spacing=(1.0, 1.0, 1.0), label_values=(0, 1, 2))
    case = preprocessing(_case(tmp_path, write, values, affine))
    assert case["image"].shape != (1, 6, 7, 5)
    pred = inversion(preprocessing)({"image": case["image"], "pred": _logits(case["label"], 3)})["pred"]
    assert np.array_equal(pred[0].numpy(), values)


@pytest.mark.parametrize(
    ("file", "spacing", "least"),
    [
        ("odd_inputs/CT_pitch_oblique.nii.gz", None, 1.0),
        ("odd_inputs/CT_pitch_oblique.nii.gz", (2.0, 2.0, 2.0), 0.95),
        ("odd_inputs/cord_t2_PSR.nii.gz", None, 1.0),
        ("odd_inputs/anatomical_bigendian.nii", (3.0, 1.5, 2.0), 0.9),
        ("odd_inputs/tiny_4x5x7.nii.gz", (1.0, 1.0, 1.0), 0.9),
        ("odd_inputs/tiny_4x5x7.nii.gz", (9.0, 9.0, 9.0), 0.6),
    ],
)
def test_real_odd_volumes_come_back_to_their_grid(shared_data, file, spacing, least):
    path = shared_data / file
    original = nib.load(path)
    preprocessing = segmentation_preprocessing(("MRI",), 3, spacing=spacing, keys=("image",))
    case = preprocessing({"image": str(path)})
    assert case["image"].isfinite().all()
    pred = inversion(preprocessing)({"image": case["image"], "pred": torch.cat([-case["image"], case["image"]])})[
        "pred"
    ]
    assert pred.shape[1:] == original.shape
    np.testing.assert_allclose(pred.affine.numpy(), original.affine, atol=1e-4)
    bright = np.asarray(original.dataobj, dtype=np.float64)
    bright = (bright - bright.min()).clip(*np.percentile(bright - bright.min(), (0.5, 99.5)))
    expected = bright > bright.mean()
    assert (pred[0].numpy() == expected).mean() >= least


def test_inversion_after_batching(tmp_path, write):
    rng = np.random.default_rng(0)
    affine = _affine("PSR", (0, 12, 0))
    values = rng.integers(0, 3, (5, 6, 7)).astype(np.uint8)
    case = _case(tmp_path, write, values, affine, rng.normal(size=(5, 6, 7)))
    preprocessing = segmentation_preprocessing(("MRI",), 3, label_values=(0, 1, 2))
    batch = next(iter(DataLoader(CacheDataset([case, case], preprocessing, progress=False), batch_size=2)))
    batch["pred"] = torch.stack([_logits(label, 3) for label in batch["label"]])
    for item in decollate_batch(batch):
        out = inversion(preprocessing)(item)
        assert np.array_equal(out["pred"][0].numpy(), values)
        np.testing.assert_allclose(out["pred"].affine.numpy(), affine, atol=1e-5)


def test_channels_from_separate_files(tmp_path, write):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(4, 5, 6)).astype(np.float32) * scale for scale in (1, 1000)]
    paths = [str(write(tmp_path / f"a_{n:04d}.nii.gz", array)) for n, array in enumerate(arrays)]
    out = segmentation_preprocessing(("T1", "T2"), 3, keys=("image",))({"image": paths})["image"]
    for channel, array in zip(out.numpy(), arrays, strict=True):
        assert np.corrcoef(channel.ravel(), array.ravel())[0, 1] > 0.99 and abs(channel.std() - 1) < 1e-3
    paths = [str(write(tmp_path / f"b_{n:04d}.png", np.full((3, 5), n, np.uint8))) for n in range(3)]
    out = segmentation_preprocessing(("red", "green", "blue"), 2, keys=("image",))({"image": paths})["image"]
    assert out.shape == (3, 5, 3)
    np.testing.assert_allclose(out[:, 0, 0].numpy(), np.arange(3) * 4 / 255 - 2, atol=1e-6)


def test_pictures_keep_image_and_label_together(tmp_path, write):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 8, 3)).astype(np.uint8)
    levels = np.array([0, 128, 255], np.uint8)[rng.integers(0, 3, (5, 8))]
    case = {"image": str(write(tmp_path / "i.png", pixels)), "label": str(write(tmp_path / "l.bmp", levels))}
    preprocessing = segmentation_preprocessing(("red", "green", "blue"), 2, label_values=(0, 128, 255))
    out = preprocessing(case)
    np.testing.assert_allclose(out["image"].numpy(), pixels.transpose(2, 1, 0) / 255 * 4 - 2, atol=1e-5)
    assert np.array_equal(out["label"][0].numpy(), levels.T // 127)
    pred = inversion(preprocessing)({"image": out["image"], "pred": _logits(out["label"], 3)})["pred"]
    Image.fromarray(pred[0].numpy().T.astype(np.uint8)).save(tmp_path / "pred.png")
    with Image.open(tmp_path / "pred.png") as image:
        assert np.array_equal(np.asarray(image), levels // 127)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "1", "I;16"])
def test_variants_of_image_files(tmp_path, mode):
    grey = np.tile(np.array([[0, 255]], np.uint8), (3, 1))
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "RGBA":
        picture = Image.fromarray(np.stack([grey, grey, grey, np.full_like(grey, 9)], axis=-1))
    else:
        picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "a.png")
    colour = mode in ("P", "RGB", "RGBA")
    channels = ("red", "green", "blue") if colour else ("grey",)
    out = segmentation_preprocessing(channels, 2, keys=("image",))({"image": str(tmp_path / "a.png")})["image"]
    assert out.shape == (len(channels), 2, 3)
    low, high = (-2.0, 2.0) if colour else (-1.0, 1.0)
    torch.testing.assert_close(out[:, 0].as_tensor(), torch.full((len(channels), 3), low), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, 1].as_tensor(), torch.full((len(channels), 3), high), atol=1e-5, rtol=0)


def test_slices_of_volumes(tmp_path, write):
    rng = np.random.default_rng(0)
    affine = _affine("PSR", (0, 0, 0))
    values = rng.integers(0, 3, (5, 6, 7)).astype(np.uint8)
    preprocessing = segmentation_preprocessing(("MRI",), 2, slices=True, label_values=(0, 1, 2))
    volume = preprocessing(_case(tmp_path, write, values, affine))
    assert volume["image"].shape == (1, 7, 5, 6)  # P, S, R become R, A, S
    out = slice_sampling()(volume)
    assert out["image"].shape == (1, 7, 5)
    augmented = augmentation(2, (16, 12))(out)
    assert augmented["image"].shape == (1, 16, 12)
    pred = inversion(preprocessing)({"image": volume["image"], "pred": _logits(volume["label"], 3)})["pred"]
    assert np.array_equal(pred[0].numpy(), values)


def test_2d_nifti(tmp_path, write):
    image = write(tmp_path / "image.nii.gz", np.arange(12, dtype=np.float32).reshape(3, 4), np.diag([-2.0, 2, 2, 1]))
    out = segmentation_preprocessing(("MRI",), 2, keys=("image",))({"image": str(image)})["image"]
    assert out.shape == (1, 3, 4)
    assert (out.flatten().diff() > 0)[1:-1].all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"spatial_dims": 4},
        {"spatial_dims": 3, "slices": True},
        {"spatial_dims": 2, "spacing": (1.0, 1.0)},
        {"spatial_dims": 3, "spacing": (1.0, 1.0)},
        {"spatial_dims": 3, "spacing": (1.0, 0.0, 1.0)},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="spatial_dims|spacing"):
        segmentation_preprocessing(("MRI",), **arguments)


@pytest.mark.parametrize("folder", ["Task04_Hippocampus", "wbc/d1_120", "nuclei"])
def test_real_cases(shared_data, folder):
    data = read_dataset(shared_data / folder)
    preprocessing = segmentation_preprocessing(data.channels, data.spatial_dims, label_values=data.label_values)
    augment = augmentation(data.spatial_dims, (32,) * data.spatial_dims)
    for case in data.cases[:: len(data.cases) // 3]:
        out = preprocessing(case)
        assert out["image"].shape[1:] == out["label"].shape[1:]
        assert out["image"].dtype == torch.float32 and out["label"].dtype == torch.uint8
        assert out["image"].isfinite().all() and 0.05 < out["image"].std() < 3
        assert set(out["label"].unique().tolist()) <= {0, *data.labels}
        assert augment(out)["image"].shape == (len(data.channels), *(32,) * data.spatial_dims)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0)])
def test_label_values_beyond_float32_become_classes(tmp_path, spacing):
    values = np.array([0, 312782547, 312782551], np.int64)[np.random.default_rng(0).integers(0, 3, (6, 5, 4))]
    for name, array in (("image", values.astype(np.float32)), ("label", values)):
        nib.save(nib.Nifti1Image(array, np.diag([2.0, -2.0, 2.0, 1.0]), dtype=array.dtype), tmp_path / f"{name}.nii.gz")
    preprocessing = segmentation_preprocessing(("MRI",), 3, spacing=spacing, label_values=(0, 312782547, 312782551))
    case = preprocessing({key: str(tmp_path / f"{key}.nii.gz") for key in ("image", "label")})
    classes = np.searchsorted([0, 312782547, 312782551], values)[:, ::-1]
    assert case["label"].dtype == torch.uint8
    if spacing is None:
        assert np.array_equal(case["label"][0].numpy(), classes)
    else:
        assert np.array_equal(case["label"][0, ::2, ::2, ::2].numpy(), classes)
