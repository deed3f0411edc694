from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from nibabel.orientations import axcodes2ornt
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from monai_hyperscale.errors import ImageError, RegistrationError
from monai_hyperscale.io import grid_affine, image_source, read_field, read_image, to_voxels, to_world, write_field
from monai_hyperscale.registration import warp

SIZES = (21, 18, 16)

TURN = Rotation.from_rotvec([0.4 / 3, 0.8 / 3, 0.8 / 3]).as_matrix()


def affine(turn: np.ndarray, spacing: tuple[float, ...], origin: tuple[float, ...] = (12.0, -30.5, 7.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * spacing, origin
    return matrix


def oriented(codes: str, spacing: tuple[float, ...] = (1.0, 1.5, 2.5)) -> np.ndarray:
    """The affine of a scan whose axes point as the codes say."""
    turn = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(axcodes2ornt(tuple(codes))):
        turn[int(world), axis] = sign
    matrix = affine(turn, spacing)
    assert nib.aff2axcodes(matrix) == tuple(codes)
    return matrix


GRIDS = {
    "RAS 1 mm": np.eye(4),
    "LAS": oriented("LAS"),
    "PSR": oriented("PSR"),
    "LPI": oriented("LPI"),
    "oblique": affine(TURN, (1.0, 1.0, 1.0)),
    "oblique and anisotropic": affine(TURN @ np.diag([-1, 1, 1]), (0.8, 1.1, 4.0)),
}


def smooth(sizes: tuple[int, ...], amplitude: float, parts: int, seed: int = 0, sigma: float = 3.0) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    maps = np.stack([gaussian_filter(draw.standard_normal(sizes), sigma) for _ in range(parts)])
    return torch.from_numpy(maps * amplitude / np.abs(maps).max()).float()


def save(voxels: torch.Tensor, path: Path, matrix: np.ndarray) -> sitk.Image:
    """Write an image with nibabel and read it with SimpleITK."""
    image = nib.Nifti1Image(voxels.numpy(), matrix)
    image.set_qform(matrix, code=1)
    nib.save(image, path)
    return sitk.ReadImage(str(path), sitk.sitkFloat64)


def resampled(moving: sitk.Image, fixed: sitk.Image, field: Path, outside: float = 0.0) -> torch.Tensor:
    """What SimpleITK makes of the moving image by a field on disk, (*sizes) in array order."""
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    return torch.from_numpy(sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, outside)).T)


def inner(x: torch.Tensor, margin: int = 4) -> torch.Tensor:
    return x[tuple(slice(min(margin, (n - 1) // 2), n - min(margin, (n - 1) // 2)) for n in x.shape)]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("grid", GRIDS)
def test_simpleitk_warps_as_we_do_and_we_read_what_we_wrote(tmp_path: Path, grid: str, suffix: str) -> None:
    field, image = smooth(SIZES, 3.0, 3), smooth(SIZES, 1.0, 1, seed=1, sigma=2.0)
    itk = save(image[0], tmp_path / "moving.nii", GRIDS[grid])
    write_field(field, tmp_path / f"field{suffix}", torch.from_numpy(GRIDS[grid]))
    theirs = resampled(itk, itk, tmp_path / f"field{suffix}")
    ours = warp(image[None], field[None])[0, 0].double()
    assert inner((ours - theirs).abs()).max() < 2e-4
    assert inner((warp(image[None], -field[None])[0, 0] - theirs).abs()).max() > 0.1
    back = read_field(tmp_path / f"field{suffix}")
    assert isinstance(back, MetaTensor) and back.dtype == torch.float32
    assert torch.allclose(back.as_tensor(), field, atol=1e-5)
    assert np.allclose(back.affine.numpy(), GRIDS[grid], atol=1e-5)
    assert {path.name for path in tmp_path.iterdir()} == {f"field{suffix}", "moving.nii"}


def test_vectors_are_millimetres_in_lps_with_nifti_s_vector_intent(tmp_path: Path) -> None:
    # One voxel along the first axis of an LAS grid of 2 mm is 2 mm to the left: +x in LPS.
    field = torch.zeros(3, 4, 5, 6)
    field[0], field[1, 0], field[2, :, 1] = 1, 1, 1
    write_field(field, tmp_path / "field.nii.gz", oriented("LAS", (2.0, 3.0, 4.0)))
    file = nib.load(tmp_path / "field.nii.gz")
    vectors = np.asarray(file.dataobj)
    assert vectors.shape == (4, 5, 6, 1, 3) and vectors.dtype == np.float32
    assert file.header.get_intent()[0] == "vector" and int(file.header["intent_code"]) == 1007
    assert np.allclose(vectors[2, 3, 4, 0], [2, 0, 0])
    assert np.allclose(vectors[0, 3, 4, 0], [2, -3, 0])
    assert np.allclose(vectors[2, 1, 4, 0], [2, 0, 4])
    assert np.allclose(file.affine, oriented("LAS", (2.0, 3.0, 4.0)))


def test_prealignment_goes_into_the_field(tmp_path: Path) -> None:
    # Moving image on a grid of its own; the network saw it resampled by the affine transform onto the fixed grid.
    fixed_affine, moving_affine = GRIDS["PSR"], affine(TURN, (1.2, 0.9, 2.0), (0.0, -20.0, 20.0))
    align = affine(np.diag([1.05, 0.95, 1.0]) @ TURN.T, (1.0, 1.0, 1.0), (3.0, -2.0, 4.0))
    centre = (fixed_affine @ [10, 9, 8, 1])[:3]
    target = (moving_affine @ [14, 15, 10, 1])[:3]
    align[:3, 3] += target - (align @ [*centre, 1])[:3]
    field, sizes = smooth(SIZES, 2.0, 3), (28, 30, 22)
    image = smooth(sizes, 1.0, 1, seed=1)[0]
    moving = save(image, tmp_path / "moving.nii", moving_affine)
    fixed = save(torch.zeros(SIZES), tmp_path / "fixed.nii", fixed_affine)
    write_field(field, tmp_path / "field.nii.gz", fixed_affine, align)
    theirs = resampled(moving, fixed, tmp_path / "field.nii.gz", float("nan"))

    at = np.indices(SIZES).reshape(3, -1) + field.reshape(3, -1).numpy()
    at = (np.linalg.inv(moving_affine) @ align @ fixed_affine @ np.vstack([at, np.ones(at.shape[1])]))[:3]
    expected = map_coordinates(image.numpy().astype(float), at, order=1).reshape(SIZES)
    # ITK goes on for half a voxel past the last one.
    inside = ((at >= 0) & (at.T <= np.array(sizes) - 1).T).all(0).reshape(SIZES)
    assert inside.mean() > 0.4
    assert np.abs(expected - theirs.numpy())[inside].max() < 2e-3

    # In voxels the same field is one: pre-alignment and displacement.
    total = to_voxels(to_world(field, fixed_affine, align), fixed_affine)
    assert torch.allclose(read_field(tmp_path / "field.nii.gz").as_tensor().double(), total, atol=1e-4)
    x = np.array([3, 7, 11])
    by_hand = np.linalg.inv(fixed_affine) @ align @ fixed_affine @ [*(x + field[:, 3, 7, 11].numpy()), 1]
    assert np.allclose(x + total[:, 3, 7, 11].numpy(), by_hand[:3])


def test_world_and_voxels_undo_each_other() -> None:
    for dims, matrix in [(3, GRIDS["oblique and anisotropic"]), (2, np.diag([-0.7, -1.3, 1, 1]))]:
        field = torch.randn(dims, *(5, 4, 6)[:dims])
        assert torch.allclose(to_voxels(to_world(field, matrix), matrix), field.double(), atol=1e-12)
        image = MetaTensor(field, affine=torch.eye(4))
        assert torch.equal(to_world(image, matrix), to_world(field, matrix))
        assert type(to_world(image, matrix)) is torch.Tensor


# Two dimensions


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_two_dimensions(tmp_path: Path, suffix: str) -> None:
    field, image = smooth((23, 19), 3.0, 2), smooth((23, 19), 1.0, 1, seed=1)
    itk = sitk.GetImageFromArray(image[0].numpy().T.astype(float))
    itk.SetSpacing((0.7, 1.3))
    itk.SetOrigin((-12.0, 30.5))
    itk.SetDirection((np.cos(0.3), -np.sin(0.3), np.sin(0.3), np.cos(0.3)))
    sitk.WriteImage(itk, str(tmp_path / "a.mha"))
    source = image_source(read_image(tmp_path / "a.mha"))
    write_field(field, tmp_path / f"field{suffix}", grid_affine(source))
    theirs = resampled(itk, itk, tmp_path / f"field{suffix}")
    assert inner((warp(image[None], field[None])[0, 0].double() - theirs).abs()).max() < 1e-4
    back = read_field(tmp_path / f"field{suffix}")
    assert torch.allclose(back.as_tensor(), field, atol=1e-5)
    assert np.allclose(back.affine.numpy(), source.affine, atol=1e-5)


def test_2d_image_files(tmp_path: Path) -> None:
    # Such files have no affine; SimpleITK takes them for millimetres in LPS.
    picture = (smooth((23, 19), 1.0, 1, seed=1)[0].numpy() * 100 + 128).astype(np.uint8)
    Image.fromarray(picture.T).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    field = smooth((23, 19), 3.0, 2)
    write_field(field, tmp_path / "field.mha", grid_affine(image_source(image)))
    itk = sitk.ReadImage(str(tmp_path / "a.png"), sitk.sitkFloat64)
    theirs = resampled(itk, itk, tmp_path / "field.mha")
    assert inner((warp(image.as_tensor()[None], field[None])[0, 0].double() - theirs).abs()).max() < 0.01


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize("sizes", [(5, 4, 1), (1, 4, 5), (1, 1, 1), (1, 7), (2, 1)], ids=str)
def test_axes_of_one_voxel_and_fields_with_a_gradient(tmp_path: Path, sizes: tuple[int, ...], suffix: str) -> None:
    field = torch.randn(len(sizes), *sizes, requires_grad=True)
    write_field(field, tmp_path / f"field{suffix}", np.diag([-2.0, 1.0, 3.0, 1.0]))
    assert torch.allclose(read_field(tmp_path / f"field{suffix}").as_tensor(), field, atol=1e-5)


# Fields of other tools


def nifti(path: Path, vectors: np.ndarray, intent: int, matrix: np.ndarray) -> Path:
    image = nib.Nifti1Image(vectors.astype(np.float32), matrix)
    image.header["intent_code"] = intent
    nib.save(image, path)
    return path


@pytest.mark.parametrize("intent", [1006, 1007])
def test_intents_mean_what_they_mean_to_itk(tmp_path: Path, intent: int) -> None:
    # ITK turns displacement vectors, 1006, from RAS; vectors, 1007, are LPS as they are.
    vectors = np.random.default_rng(0).standard_normal((5, 4, 6, 1, 3))
    path = nifti(tmp_path / "a.nii.gz", vectors, intent, GRIDS["oblique"])
    theirs = torch.from_numpy(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).permute(3, 2, 1, 0)
    assert torch.allclose(to_world(read_field(path), GRIDS["oblique"]), theirs.double(), atol=1e-5)


def test_unknown_displacements_lead_out_of_the_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = np.zeros((5, 4, 6, 1, 3))
    vectors[1, 2, 3] = np.finfo(np.float32).max
    path = nifti(tmp_path / "a.nii.gz", vectors, 1007, GRIDS["LAS"])
    with caplog.at_level(logging.WARNING):
        field = read_field(path)
    assert "no displacement at 1 voxels" in caplog.text
    moved = warp(torch.ones(1, 1, 5, 4, 6), field.as_tensor()[None], padding="zeros")
    expected = torch.ones(1, 1, 5, 4, 6)
    expected[0, 0, 1, 2, 3] = 0
    assert torch.equal(moved, expected)


@pytest.mark.parametrize(
    ("shape", "intent", "message"),
    [
        ((5, 4, 6), 0, "holds no displacement field in ITK's convention .*: shape 5x4x6, intent 0"),
        ((5, 4, 6, 3), 0, "intent 0"),  # a time series as likely as not
        ((5, 4, 6, 1, 3), 2006, "intent 2006"),  # FSL's, of other meaning
        ((5, 4, 6, 1, 4), 1007, "shape 5x4x6x4"),
        ((5, 4, 6, 2, 3), 1007, "shape 5x4x6x2x3"),
        ((5, 4, 6, 1, 2), 1007, "2 components in a volume"),
        ((5, 4), 1007, "shape 5x4"),
    ],
)
def test_what_is_no_field(tmp_path: Path, shape: tuple[int, ...], intent: int, message: str) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros(shape), intent, np.eye(4))
    with pytest.raises(ImageError, match=message):
        read_field(path)


def test_files_that_are_refused(tmp_path: Path) -> None:
    vectors = np.zeros((5, 4, 6, 1, 3))
    vectors[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_field(nifti(tmp_path / "nan.nii", vectors, 1007, np.eye(4)))
    whole = nifti(tmp_path / "a.nii.gz", np.random.rand(9, 9, 9, 1, 3), 1007, np.eye(4)).read_bytes()
    for name, content, told in (
        ("a.nii.gz", whole[: len(whole) // 2], "truncated"),
        ("empty.mha", b"", "is empty"),
        ("field.png", b"x", "fields are read as .nii.gz"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=told):
            read_field(tmp_path / name)


@pytest.mark.parametrize(
    ("field", "matrix", "message"),
    [
        (torch.zeros(3, 4, 5), np.eye(4), "without a batch"),
        (torch.zeros(1, 3, 4, 5, 6), np.eye(4), "without a batch"),
        (torch.full((3, 4, 5, 6), float("nan")), np.eye(4), "NaN or infinite"),
        (torch.zeros(3, 4, 5, 6), np.diag([1.0, 0, 1, 1]), "cannot be inverted"),
        (torch.zeros(3, 4, 5, 6), np.eye(4) + 0.1 * np.eye(4, k=1), "right angles"),
        (torch.zeros(2, 4, 5), np.eye(4)[[0, 2, 1, 3]], "plane of x and y"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, field: torch.Tensor, matrix: np.ndarray, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        write_field(field, tmp_path / "field.nii.gz", matrix)
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="fields are written as"):
        write_field(torch.zeros(2, 4, 5), tmp_path / "field.txt", np.eye(4))

    def full(_: object, path: str, **__: object) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("Exception thrown:\nsitk::ERROR: no space.")

    monkeypatch.setattr(sitk, "WriteImage", full)
    with pytest.raises(ImageError, match="field.mha cannot be written .*no space"):
        write_field(torch.zeros(2, 4, 5), tmp_path / "field.mha", np.eye(4))
    assert not list(tmp_path.iterdir())


# Real scans


@pytest.mark.parametrize("name", ["cord_t2_PSR.nii.gz", "CT_pitch_oblique.nii.gz", "anatomical_bigendian.nii"])
def test_real_scans_on_their_own_grids(tmp_path: Path, shared_data: Path, name: str) -> None:
    image = read_image(shared_data / "odd_inputs" / name)[:, :60, :60, :60]
    itk = sitk.ReadImage(str(shared_data / "odd_inputs" / name), sitk.sitkFloat64)[:60, :60, :60]
    coarse = smooth(tuple(max(2, n // 8) for n in image.shape[1:]), 2.0, 3, sigma=1.0)
    field = torch.nn.functional.interpolate(coarse[None], size=image.shape[1:], mode="trilinear")
    write_field(field[0], tmp_path / "field.nii.gz", image.affine)
    theirs = resampled(itk, itk, tmp_path / "field.nii.gz")
    ours = warp(image.as_tensor()[None], field)[0, 0].double()
    scale = float(image.max() - image.min())
    assert inner((ours - theirs).abs()).max() < 5e-3 * scale
    assert inner((image.as_tensor()[0] - theirs).abs()).max() > 0.1 * scale


def test_real_field_with_marked_voxels(shared_data: Path) -> None:
    path = shared_data / "odd_inputs" / "warp_5d_with_fltmax.nii.gz"
    field = read_field(path)
    theirs = torch.from_numpy(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).permute(3, 2, 1, 0).double()
    known = (theirs.abs() < 1e30).all(0)
    assert 0.9 < known.double().mean() < 1
    assert torch.allclose(to_world(field, field.affine)[:, known], theirs[:, known], atol=1e-3)
