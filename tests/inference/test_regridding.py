"""Resampling in slabs gives what MONAI gives in one piece, and brings label maps back where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Spacing, Spacingd

from monai_hyperscale.inference import regridding
from monai_hyperscale.inference.regridding import at_spacing, label_on_grid

TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])


def affine_of(matrix: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, (12, -30, 5.5)
    return affine


AFFINES = {
    "straight": affine_of(np.diag([0.8, 0.9, 2.1])),
    "flipped": affine_of(np.diag([-0.8, -0.9, 2.1])),
    "turned": affine_of(TURN @ np.diag([-0.83, 0.9, 2.1])),
    "permuted": affine_of(np.array([[0, 0, 1.3], [-0.9, 0, 0], [0, -2.1, 0]])),
    "gantry": affine_of(TURN @ np.diag([-0.83, 0.9, 2.1]) @ np.array([[1, 0, 0], [0, 1, 0.3], [0, 0, 1]])),
}

slabs = pytest.mark.parametrize("slab", [200, 10**6], ids=["slabs", "one piece"])


def volume(affine: np.ndarray, channels: int = 1, sizes: tuple[int, ...] = (19, 16, 11)) -> MetaTensor:
    return MetaTensor(torch.rand(channels, *sizes), affine=torch.as_tensor(affine), meta={"name": "scan"})


@slabs
@pytest.mark.parametrize("pixdim", [(1.0, 1.0, 1.0), (0.5, 2.0, 1.7)])
@pytest.mark.parametrize("name", AFFINES)
def test_spacing_is_monais(name: str, pixdim: tuple[float, ...], slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regridding, "_SLAB", slab)
    image, spacing = volume(AFFINES[name], channels=2), Spacing(pixdim)
    expected, found = spacing(image.clone()), at_spacing(image, spacing)
    assert found.shape == expected.shape and found.dtype == torch.float32 and found.shape != image.shape
    torch.testing.assert_close(found.as_tensor(), expected.as_tensor(), atol=1e-5, rtol=0)
    assert np.allclose(found.affine, expected.affine)
    assert found.meta["name"] == "scan" and torch.equal(image.affine, torch.as_tensor(AFFINES[name]))


def test_an_image_at_its_spacing_is_left_as_it_is() -> None:
    image = volume(AFFINES["turned"])
    assert at_spacing(image, Spacing((0.83, 0.9, 2.1))) is image


@slabs
# Not in a simple ratio to the image's voxels: midway between two voxels either one is the nearest.
@pytest.mark.parametrize("pixdim", [(1.113, 1.271, 1.337), (0.457, 0.731, 3.119)])
@pytest.mark.parametrize("name", AFFINES)
def test_labels_come_back_as_monai_inverts_them(
    name: str, pixdim: tuple[float, ...], slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regridding, "_SLAB", slab)
    image = volume(AFFINES[name])
    pipeline = Compose([Orientationd("image", "RAS", labels=None), Spacingd("image", pixdim)])
    prepared = pipeline({"image": image})["image"]
    label = torch.randint(0, 9, prepared.shape[1:], dtype=torch.uint8)
    invert = Invertd("pred", pipeline, orig_keys="image", nearest_interp=True)
    expected = invert({"image": prepared, "pred": MetaTensor(label[None].float())})["pred"][0].numpy()
    found = label_on_grid(label, prepared.affine.numpy(), AFFINES[name], image.shape[1:])
    assert found.dtype == np.uint8 and found.flags.f_contiguous
    assert np.array_equal(found, expected) and len(np.unique(found)) == 9


def test_voxels_midway_between_two_do_not_hang_on_rounding() -> None:
    label = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1)
    for noise in (0, 1e-9, -1e-9):
        fine = np.diag([0.5 + noise, 1, 1, 1])
        assert label_on_grid(label, np.eye(4), fine, (8, 1, 1)).ravel().tolist() == [0, 0, 1, 2, 2, 2, 3, 3]
