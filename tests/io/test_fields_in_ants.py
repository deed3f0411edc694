"""Fields on disk, applied by ANTs: run with antspyx installed, which is no dependency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from monai_hyperscale.io import read_field, write_field
from monai_hyperscale.registration import warp
from tests.io.test_fields import GRIDS, SIZES, inner, save, smooth

ants = pytest.importorskip("ants", reason="antspyx is not installed")


@pytest.mark.parametrize("grid", GRIDS)
def test_ants_warps_as_we_do(tmp_path: Path, grid: str) -> None:
    field, image = smooth(SIZES, 3.0, 3), smooth(SIZES, 1.0, 1, seed=1, sigma=2.0)
    save(image[0], tmp_path / "moving.nii", GRIDS[grid])
    write_field(field, tmp_path / "field.nii.gz", GRIDS[grid])
    moving = ants.image_read(str(tmp_path / "moving.nii"))
    moved = ants.apply_transforms(moving, moving, [str(tmp_path / "field.nii.gz")], interpolator="linear").numpy()
    ours = warp(image[None], field[None])[0, 0].numpy()
    assert inner(torch.from_numpy(np.abs(ours - moved))).max() < 2e-4
    assert inner(torch.from_numpy(np.abs(image[0].numpy() - moved))).max() > 0.1


@pytest.mark.parametrize("grid", GRIDS)
def test_a_field_that_ants_writes_is_read(tmp_path: Path, grid: str) -> None:
    field = smooth(SIZES, 3.0, 3)
    write_field(field, tmp_path / "ours.nii.gz", GRIDS[grid])
    theirs = ants.image_read(str(tmp_path / "ours.nii.gz"))
    assert theirs.has_components and theirs.components == 3
    ants.image_write(theirs, str(tmp_path / "theirs.nii.gz"))
    back = read_field(tmp_path / "theirs.nii.gz")
    assert torch.allclose(back.as_tensor(), field, atol=1e-4)
    assert np.allclose(back.affine.numpy(), GRIDS[grid], atol=1e-5)
