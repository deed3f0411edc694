from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.io.grids import Grid, grid_of, itk_image, overlap, ras_matrix
from monai_hyperscale.registration.affine import align_affine, align_centres


def turned(angle: float, scale: tuple[float, ...], shift: tuple[float, ...]) -> np.ndarray:
    """Return a (4, 4) matrix that turns in the plane of x and y."""
    matrix = np.eye(4)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:3, :3] = matrix[:3, :3] @ np.diag(scale)
    matrix[:3, 3] = shift
    return matrix


OBLIQUE = turned(0.3, (2.0, 1.5, 3.0), (-30, 20, 7)) @ np.diag([-1, 1, 1, 1])
PSR = np.array([[0, 0, 1.0, -20], [-1, 0, 0, 25], [0, 1, 0, -22], [0, 0, 0, 1]])


def anatomy(points: np.ndarray) -> np.ndarray:
    """Return the grey values at points (D, N) in mm: a head with soft edges and some blobs in it."""
    rng = np.random.default_rng(0)
    axes = np.array([14.0, 11.0, 12.0])[: len(points), None]
    value = 0.5 / (1 + np.exp(8 * (np.sqrt(((points / axes) ** 2).sum(0)) - 1)))
    for _ in range(15):
        middle, width, height = rng.uniform(-9, 9, 3)[: len(points), None], rng.uniform(2.5, 5), rng.uniform(-0.4, 0.5)
        value += height * np.exp(-((points - middle) ** 2).sum(0) / width**2)
    return value


def image_on(grid: Grid, matrix: np.ndarray) -> MetaTensor:
    """Return the anatomy as seen from a grid whose points ``matrix`` takes to those of the anatomy."""
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.sizes), indexing="ij")).reshape(grid.dims, -1)
    kept = [*range(grid.dims), 3]
    full = (matrix[np.ix_(kept, kept)]) @ grid.matrix
    values = anatomy(full[:-1, :-1] @ voxels + full[:-1, -1:]).reshape(1, *grid.sizes)
    return MetaTensor(torch.as_tensor(values).float(), affine=torch.as_tensor(grid.affine))


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR, np.diag([-1.0, -1, 1, 1])])
def test_itk_image_keeps_every_voxel_in_its_place(affine: np.ndarray) -> None:
    for sizes in [(5, 4), (5, 4, 3), (1, 7, 2)]:
        if len(sizes) == 2 and affine is PSR:
            with pytest.raises(RegistrationError, match="axial slice"):
                Grid(sizes, affine)
            continue
        grid, index = Grid(sizes, affine), tuple(n - 1 for n in sizes)
        voxels, vectors = np.random.default_rng(0).random(sizes), np.random.default_rng(0).random((3, *sizes))
        image = itk_image(voxels, grid)
        assert image[index] == voxels[index]
        assert itk_image(vectors, grid)[index] == tuple(vectors[(slice(None), *index)])
        x, y, *z = (grid.matrix @ (*index, 1))[:-1]
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx((-x, -y, *z))


def test_the_matrix_of_a_transform_moves_points_as_it_does() -> None:
    transform = sitk.AffineTransform(3)
    transform.Rotate(0, 2, 0.4)
    transform.Scale((1.1, 0.9, 1.0))
    transform.SetTranslation((3.0, -2.0, 5.0))
    for centre in ((0.0, 0.0, 0.0), (5.0, 6.0, 7.0)):  # changes what it does; the matrix must follow
        transform.SetCenter(centre)
        x, y, z, _ = ras_matrix(transform) @ (1, 2, 3, 1)
        assert transform.TransformPoint((-1, -2, 3)) == pytest.approx((-x, -y, z))


def test_same_grid() -> None:
    grid = Grid((5, 4, 3), OBLIQUE)
    assert grid.same_as(Grid((5, 4, 3), OBLIQUE + 1e-6))
    assert not grid.same_as(Grid((5, 4, 4), OBLIQUE))
    assert not grid.same_as(Grid((5, 4, 3), OBLIQUE @ np.diag([1, 1, 1.01, 1])))


def test_overlap() -> None:
    large, small = Grid((100, 100, 100), np.eye(4)), Grid((3, 3, 3), turned(0, (1, 1, 1), (50.4, 3.2, 7.7)))
    assert overlap(large, small, np.eye(4)) == overlap(small, large, np.eye(4)) == 1
    half = turned(0, (1, 1, 1), (50, 0, 0))
    assert overlap(large, large, half) == pytest.approx(0.5, abs=0.05)
    assert overlap(large, small, turned(0, (1, 1, 1), (200, 0, 0))) == 0


@pytest.mark.parametrize(("dims", "shift"), [(2, (4, -3, 2)), (2, (150, -80, 60)), (3, (150, -80, 60))])
def test_known_transform_is_found(dims: int, shift: tuple[float, ...]) -> None:
    if dims == 2:
        shift = (*shift[:2], 0)
    matrix = turned(0.3, (1.15, 0.95, 1.0), shift)
    fixed_grid = Grid((44, 47, 41)[:dims], np.eye(4))
    fixed_grid.affine[:dims, 3] = -22
    around = np.eye(4)
    around[:dims, 3] = (matrix @ (0, 0, 0, 1))[:dims] - 30
    moving_grid = Grid((40, 35, 30)[:dims], around @ turned(0.1, (1.5, 1.8, 2.0), (0, 0, 0)))
    moving = image_on(moving_grid, np.linalg.inv(matrix))
    fixed = image_on(fixed_grid, np.eye(4))
    found = align_affine(moving, fixed)
    points = np.array([[10, 0, 0, 1], [-8, 7, 0, 1], [0, -9, 6 * (dims == 3), 1]]).T
    away = np.abs((found - matrix) @ points)
    assert away.max() < 1.1  # mm, at voxels of 1.5 to 2 mm; 3 mm with the centres of mass on each other
    if dims == 2:
        assert np.allclose(found, align_affine(moving, fixed), atol=1e-4)


def test_another_modality() -> None:
    grid = Grid((32, 32, 32), turned(0, (1, 1, 1), (-16, -16, -16)))
    matrix = turned(0.15, (1, 1, 1), (3, 2, -2))
    moving, fixed = image_on(grid, np.linalg.inv(matrix)), image_on(grid, np.eye(4))
    found = align_affine(MetaTensor((1 - moving) ** 3 * 900, meta=moving.meta), fixed)
    assert np.abs((found - matrix) @ (8, -8, 5, 1)).max() < 0.7


def test_same_image_stays_where_it_is() -> None:
    image = image_on(Grid((20, 21, 19), OBLIQUE @ turned(0, (1, 1, 1), (-10, -10, -10))), np.eye(4))
    assert np.abs(align_affine(image, image) - np.eye(4)).max() < 0.05


def test_images_that_cannot_be_aligned() -> None:
    nothing = MetaTensor(torch.zeros(1, 5, 5, 5), affine=torch.eye(4))
    with pytest.raises(RegistrationError, match="could not be aligned"):
        align_affine(nothing, nothing)


def test_centres() -> None:
    moving, fixed = Grid((7, 5, 9), OBLIQUE), Grid((4, 4, 4), PSR)
    matrix = align_centres(moving, fixed)
    assert matrix @ (*fixed.centre, 1) == pytest.approx((*moving.centre, 1))
    assert np.array_equal(matrix[:3, :3], np.eye(3))


def test_grid_of_a_tensor_without_affine() -> None:
    grid = grid_of(MetaTensor(torch.zeros(2, 4, 3)))
    assert grid.sizes == (4, 3) and np.array_equal(grid.affine, np.eye(4))
    assert itk_image(np.zeros((4, 3)), grid).GetPixelID() == sitk.sitkFloat64
