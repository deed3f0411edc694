from __future__ import annotations

import gzip
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import image_source, read_image, split_suffix

OBLIQUE = np.array([[-0.9, 0.2, 0.1, 10.0], [0.3, 1.9, -0.2, -20.0], [0.0, 0.3, 3.0, 5.5], [0, 0, 0, 1]])


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = OBLIQUE) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def voxels_of(shape: tuple[int, ...], dtype: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(-50, 50, shape).astype(dtype)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.mgz", "a.mgh"])
def test_voxels_and_affine_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    voxels = voxels_of((5, 4, 3))
    cls = nib.MGHImage if "mg" in name else nib.Nifti1Image
    written = cls(voxels.astype(np.float32), OBLIQUE.astype(np.float32))
    nib.save(written, tmp_path / name)
    image = read_image(tmp_path / name)
    assert isinstance(image, MetaTensor) and image.dtype == torch.float32
    assert np.array_equal(image.numpy()[0], voxels)
    assert np.array_equal(image.affine.numpy(), cls.from_bytes(written.to_bytes()).affine)
    assert np.allclose(image.affine.numpy(), OBLIQUE, atol=1e-5)


def test_agrees_with_monai_on_what_training_sees(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", voxels_of((5, 4, 3)))
    ours, theirs = read_image(path), LoadImage(ensure_channel_first=True)(path)
    assert torch.equal(ours.as_tensor(), theirs.as_tensor()) and torch.equal(ours.affine, theirs.affine)
    assert ours.meta["space"] == theirs.meta["space"]
    assert list(ours.meta["spatial_shape"]) == list(theirs.meta["spatial_shape"])


def test_intensity_scaling_of_the_header_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[0, 1, 2]]], np.int16), np.eye(4))
    image.header.set_slope_inter(2.5, -10.0)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[-6:] = np.array([0, 1, 2], "<i2").tobytes()  # nibabel stored values with the scaling undone
    (tmp_path / "a.nii").write_bytes(raw)
    assert read_image(tmp_path / "a.nii").flatten().tolist() == [-10.0, -7.5, -5.0]


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3, 1), (5, 1, 3, 1, 1), (1, 1, 1)])
def test_trailing_single_axes_are_dropped_after_the_third(tmp_path: Path, shape: tuple) -> None:
    image = read_image(save(tmp_path / "a.nii.gz", voxels_of(shape)))
    assert image.shape == (1, *shape[:3]) and image_source(image).shape == shape[:3]


def test_fourth_axis_is_channels_only_where_asked_for(tmp_path: Path) -> None:
    voxels = voxels_of((5, 4, 3, 2))
    path = save(tmp_path / "a.nii.gz", voxels)
    assert np.array_equal(read_image(path, channels=2).numpy(), np.moveaxis(voxels, 3, 0))
    for channels in (1, 3):
        with pytest.raises(ImageError, match="is 4D, of shape 5x4x3x2"):
            read_image(path, channels)


def test_image_without_a_file_has_its_own_geometry() -> None:
    source = image_source(MetaTensor(torch.zeros(1, 3, 4), affine=torch.diag(torch.tensor([2.0, 3.0, 1.0]))))
    assert source.shape == (3, 4)
    assert np.array_equal(source.affine, np.diag([2.0, 3.0, 1.0, 1.0]))


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and message.endswith(".")
    return message


def test_missing_empty_and_strange_files(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "a.nii.gz")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty.nii.gz").touch()
    assert "is empty (0 bytes)" in refusal(tmp_path / "empty.nii.gz")
    (tmp_path / "notes.txt").write_text("x")
    assert "not of a known kind" in refusal(tmp_path / "notes.txt")
    for suffix in (".nii", ".nii.gz", ".mgz", ".mgh", ".mha", ".nrrd"):
        (tmp_path / f"text{suffix}").write_text("not an image\n" * 100)
        assert ("names no ElementDataFile" if suffix == ".mha" else "damaged") in refusal(tmp_path / f"text{suffix}")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz"])
def test_truncated_at_every_tenth_of_the_file(tmp_path: Path, name: str) -> None:
    cls = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
    nib.save(cls(voxels_of((20, 20, 20), np.float32), np.eye(4)), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for kept in range(1, 10):
        (tmp_path / name).write_bytes(whole[: len(whole) * kept // 10])
        assert name in refusal(tmp_path / name)


def test_last_bytes_of_a_compressed_file_count(tmp_path: Path) -> None:
    # All voxels are there, but the checksum is not: nibabel by itself reads such a file.
    path = save(tmp_path / "a.nii.gz", voxels_of((5, 4, 3)))
    path.write_bytes(path.read_bytes()[:-8])
    with gzip.open(path) as file:
        assert nib.Nifti1Image.from_bytes(file.read(352 + 120)).get_fdata().shape == (5, 4, 3)
    assert "truncated or damaged" in refusal(path)


def test_damage_that_still_decompresses_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", voxels_of((30, 30, 30), np.uint8))
    stored = bytearray(gzip.compress(path.read_bytes(), compresslevel=0))
    stored[len(stored) // 2] ^= 0xFF
    (tmp_path / "b.nii.gz").write_bytes(stored)
    assert "truncated or damaged" in refusal(tmp_path / "b.nii.gz")


def test_header_that_claims_more_than_the_file_can_hold(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", voxels_of((5, 4, 3)))
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    path.write_bytes(raw)
    assert "truncated" in refusal(path)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw))
    assert "truncated" in refusal(tmp_path / "a.nii.gz")


def test_a_header_of_random_bytes_is_never_a_traceback(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", voxels_of((5, 4, 3)))
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        raw = bytearray(whole)
        for position in random.integers(0, 348, 8):
            raw[position] = random.integers(256)
        path.write_bytes(raw)
        try:
            read_image(path)
        except ImageError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize(
    ("voxels", "told"),
    [
        (np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colour voxels (RGB)"),
        (np.ones((3, 3, 3), np.complex64), "complex64"),
        (np.zeros((4, 0, 3), np.int16), "no voxels"),
        (np.full((3, 3, 3), np.nan), "no finite voxel"),
        *((voxels_of(n), f"of shape {'x'.join(map(str, n))}") for n in ((5, 4, 3, 1, 3), (5, 4, 1, 2))),
    ],
)
def test_what_is_no_one_grey_image(tmp_path: Path, voxels: np.ndarray, told: str) -> None:
    assert told in refusal(save(tmp_path / "a.nii", voxels))


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [np.nan, 0, 0, 0], [0, 1.9, 0, 0]])
def test_affine_that_cannot_be_inverted(tmp_path: Path, row: list[float]) -> None:
    image = nib.Nifti1Image(voxels_of((5, 4, 3)), np.eye(4))
    for index in range(3):
        image.header["srow_" + "xyz"[index]] = row if index == 0 else np.eye(4)[index]
    image.header["sform_code"] = 1
    nib.Nifti1Image(voxels_of((5, 4, 3)), None, image.header).to_filename(tmp_path / "a.nii")
    assert "affine that cannot be inverted" in refusal(tmp_path / "a.nii")


def test_small_voxels_are_no_singular_affine(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", voxels_of((5, 4, 3)), np.diag([1e-4, 1e-4, 1e-4, 1]))
    assert read_image(path).shape == (1, 5, 4, 3)


def test_voxels_that_are_not_finite(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    voxels = voxels_of((5, 4, 3), np.float64)
    voxels[0, 0], voxels[1, 0, 0], voxels[2, 0, 0] = np.nan, np.inf, 1e300
    path = save(tmp_path / "a.nii.gz", voxels)
    with caplog.at_level(logging.WARNING):
        image = read_image(path).numpy()[0]
    expected = np.where(np.abs(voxels) < 100, voxels, np.nan)
    assert np.array_equal(image, np.where(np.isnan(expected), np.nanmin(expected), expected))
    assert f"has {3 + 1 + 1} voxels that are NaN or infinite" in caplog.text
    good = save(tmp_path / "good.nii", voxels_of((5, 4, 3)))
    assert torch.equal(read_image(good, only_finite=True), read_image(good))
    for given, channels in ((path, 1), ([good, path], 2)):
        with pytest.raises(ImageError, match="a.nii.gz has 5 voxels that are NaN or infinite; replace them"):
            read_image(given, channels, only_finite=True)


def test_split_suffix() -> None:
    assert split_suffix("a/b.1/Scan.x.NII.GZ") == ("Scan.x", ".nii.gz")
    assert split_suffix("scan.gz") == ("scan.gz", "") and split_suffix(".nii.gz") == ("", ".nii.gz")
    assert split_suffix("cell.JPEG") == ("cell", ".jpeg")
