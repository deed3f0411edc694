from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Flip, Orientation, Spacing, SpatialCrop
from scipy.ndimage import map_coordinates

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.inference import move_field, resample, working_grid
from monai_hyperscale.inference.resampling import as_placed, check_together
from monai_hyperscale.io import read_image
from monai_hyperscale.io.grids import Grid

OBLIQUE = np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
PSR = np.array([[0, 0, 1.0, 3], [-1.5, 0, 0, 20], [0, 1.2, 0, 5], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR])
def test_working_grid_is_monais_ras_orientation(affine: np.ndarray) -> None:
    image = MetaTensor(torch.rand(1, 9, 8, 7), affine=torch.tensor(affine))
    grid = working_grid(Grid((9, 8, 7), affine))
    turned = Orientation("RAS", labels=None)(image)
    assert grid.sizes == tuple(turned.shape[1:]) and np.allclose(grid.affine, turned.affine)
    assert torch.allclose(resample(image, grid).as_tensor(), turned.as_tensor(), atol=1e-6)


def test_working_grid_has_the_spacing_asked_for_and_fills_the_field_of_view() -> None:
    grid = working_grid(Grid((31, 20, 9), OBLIQUE), spacing=(2.0, 2.0, 2.0))
    assert np.allclose(grid.spacing, 2, rtol=0.1)
    first, last = (grid.affine @ (*corner, 1) for corner in (np.full(3, -0.5), np.array(grid.sizes) - 0.5))
    corners = [OBLIQUE @ (*corner, 1) for corner in ((30.5, -0.5, -0.5), (-0.5, 19.5, 8.5))]
    assert np.allclose(first, corners[0]) and np.allclose(last, corners[1])
    image = MetaTensor(torch.rand(1, 31, 20, 9), affine=torch.tensor(OBLIQUE))
    monai = Spacing((2.0, 2.0, 2.0))(Orientation("RAS", labels=None)(image))
    assert np.abs(np.subtract(grid.sizes, monai.shape[1:])).max() <= 1


def test_padding_is_on_both_sides_and_nothing_is_cropped() -> None:
    grid = working_grid(Grid((9, 8, 7), np.eye(4)), sizes=(12, 5, 8))
    assert grid.sizes == (12, 8, 8) and np.array_equal(grid.affine[:3, 3], (-1, 0, 0))


@pytest.mark.parametrize("sizes", [(30, 20, 10), (31, 17)])
def test_large_grids_get_larger_voxels(sizes: tuple[int, ...]) -> None:
    grid = working_grid(Grid(sizes, np.eye(4)), max_voxels=200)
    assert np.prod(grid.sizes) <= 200 and max(grid.spacing) / min(grid.spacing) < 1.6


def test_resample_by_a_field_is_scipys_interpolation() -> None:
    image = MetaTensor(torch.rand(2, 9, 8, 7), affine=torch.tensor(OBLIQUE))
    field = torch.rand(3, 9, 8, 7) - 0.5
    moved = resample(image, Grid((9, 8, 7), OBLIQUE), field=field)
    where = np.indices((9, 8, 7)) + field.numpy()
    for channel in range(2):
        expected = map_coordinates(image[channel].numpy(), where, order=1)
        assert np.allclose(moved[channel, 1:-1, 1:-1, 1:-1], expected[1:-1, 1:-1, 1:-1], atol=1e-5)


def test_outside_and_nearest() -> None:
    image = MetaTensor(torch.tensor([3, 5, 9], dtype=torch.int16).reshape(1, 3, 1), affine=torch.eye(4))
    moved = resample(image, Grid((6, 1), np.diag([0.7, 1, 1, 1])), nearest=True, outside=-4)
    assert moved.flatten().tolist() == [3, 5, 5, 9, -4, -4] and moved.dtype == torch.int16


def test_moved_field_of_an_affine_field_is_exact() -> None:
    """A field that is linear in space is the same on every grid, whatever the affines before and after it."""
    rng = np.random.default_rng(0)
    grid, target = Grid((12, 11, 10), OBLIQUE), Grid((5, 4, 6), np.diag([1.3, 1.1, 2, 1]))
    target.affine[:3, 3] = (OBLIQUE @ (4, 3, 3, 1))[:3]
    bend = rng.normal(size=(3, 3)) / 20
    field = np.tensordot(bend, np.indices(grid.sizes), 1) + 0.5
    before, after = (np.eye(4) + np.pad(rng.normal(size=(3, 4)) / 50, ((0, 1), (0, 0))) for _ in range(2))
    moved = move_field(torch.as_tensor(field).float(), grid, target, before, after)
    for index in ((0, 0, 0), (3, 2, 4)):
        voxel = (np.linalg.inv(OBLIQUE) @ before @ target.affine @ (*index, 1))[:3]
        assert (voxel >= 0).all() and (voxel <= np.array(grid.sizes) - 1).all()
        led = OBLIQUE @ (*(voxel + bend @ voxel + 0.5), 1)
        expected = (np.linalg.inv(target.affine) @ after @ led)[:3] - index
        assert np.allclose(moved[(slice(None), *index)], expected, atol=1e-4)


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR])
def test_no_field_stays_none_to_the_last_bit(affine: np.ndarray) -> None:
    fixed = Grid((9, 8, 7), affine)
    grid = working_grid(fixed, sizes=(12, 12, 12))
    assert not move_field(torch.zeros(3, *grid.sizes), grid, fixed).any()


@pytest.mark.parametrize("suffix", [".nii.gz", ".png"])
def test_what_was_cropped_and_turned_after_reading_lies_where_it_lay(tmp_path: Path, suffix: str, write: Any) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, (12, 11), dtype=np.uint8)
    affine = (np.diag([-2.0, 1.5, 1, 1]),) if suffix == ".nii.gz" else ()
    whole = read_image(write(tmp_path / f"a{suffix}", voxels, *affine))
    part = Flip(1)(SpatialCrop(roi_start=(3, 2), roi_end=(9, 10))(whole))
    grid = Grid((12, 11), as_placed(whole, 2).affine.numpy())
    back = resample(as_placed(part, 2), grid)[0, 3:9, 2:10]
    assert torch.allclose(back.as_tensor(), whole.as_tensor()[0, 3:9, 2:10], atol=1e-3)


def test_label_map_of_another_image() -> None:
    def image(*sizes: int, shift: float = 0.0) -> MetaTensor:
        return MetaTensor(torch.zeros(1, *sizes), affine=torch.as_tensor(np.eye(4) + shift * np.eye(4, k=3)))

    flat, volume = image(6, 5), image(6, 5, 4)
    for label, other in ((volume, image(9, 9, 9)), (flat, image(6, 5, 1)), (image(6, 5, 1), flat)):
        check_together(label, other)
    for label, other, message in (
        (flat, volume, "is 2D, but a 3D image is needed"),
        (volume, flat, "is 3D, but a 2D image is needed"),
        (image(6, 5, 4, shift=90), volume, "no point in common with"),
    ):
        with pytest.raises(RegistrationError, match=message):
            check_together(label, other)
