"""The segmenter, which never holds the logits of a whole volume, against the path that does: MONAI's, in one piece."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_hyperscale.data.transforms import inversion, segmentation_preprocessing
from monai_hyperscale.inference import PhiWholeImageInferer, regridding, windows
from monai_hyperscale.inference.devices import measured
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter

Make = Callable[..., Segmenter]

OBLIQUE = np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
SAGITTAL = np.array([[0, 0, 1.3, 3], [-0.9, 0, 0, 20], [0, -2.1, 0, 5], [0, 0, 0, 1]])
GANTRY = OBLIQUE @ np.array([[1, 0, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
LABELS = {index: f"organ {index}" for index in range(1, 26)}


def unbounded(model: Segmenter, image: MetaTensor, phi: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the label map by MONAI's transforms and windows alone, and where it is clear by how far."""
    settings = model.settings
    pipeline = segmentation_preprocessing(
        settings.channels, settings.spatial_dims, settings.spacing, ("image",), settings.slices, loaded=True
    )
    inferer = PhiWholeImageInferer(
        phi,
        settings.roi_size,
        settings.spatial_dims,
        max_voxels=model.inferer.max_voxels,
        overlap=model.inferer.overlap,
    )
    with torch.inference_mode():
        prepared = pipeline({"image": image})["image"]
        logits = inferer(prepared.as_tensor()[None], model.network)[0]
        first, second = logits.topk(2, dim=0).values
        clear = torch.stack([first - second < 1e-4, first - second >= 1e-4]).float()
        undo = inversion(pipeline)
        label, where = (undo({"image": prepared, "pred": each})["pred"][0].numpy() for each in (logits, clear))
    return label, where.astype(bool)


def scan(affine: np.ndarray, sizes: tuple[int, ...]) -> MetaTensor:
    axes = np.meshgrid(*(np.linspace(-3, 3, n) for n in sizes), indexing="ij")
    smooth = np.sin(2 * axes[0]) + np.cos(3 * axes[1] + axes[0]) + np.sin(axes[-1] * axes[1])
    noise = np.random.default_rng(0).normal(0, 0.3, sizes)
    return MetaTensor(torch.as_tensor(smooth + noise)[None].float(), affine=torch.as_tensor(affine))


@pytest.mark.parametrize("spacing", [None, (1.113, 1.271, 1.337)], ids=["own spacing", "resampled"])
@pytest.mark.parametrize("affine", [OBLIQUE, SAGITTAL, GANTRY], ids=["oblique", "sagittal", "gantry"])
def test_windows(segmenter: Make, affine: np.ndarray, spacing: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regridding, "_SLAB", 2000)
    options = {"max_voxels": 100, "overlap": 0.4}
    model = segmenter(labels=LABELS, spacing=spacing, roi_size=(12, 10, 8), options=options)
    image = scan(affine, (25, 22, 13))
    expected, clear = unbounded(model, image, 0.3)
    found = model.segment(image, 0.3)
    assert found.dtype == np.uint8 and clear.mean() > 0.98
    assert np.array_equal(found[clear], expected[clear])
    assert len(np.unique(found)) > 5


@pytest.mark.parametrize(
    ("affine", "sizes", "options"),
    [
        (SAGITTAL, (12, 11, 19), {"slices": True}),
        (np.eye(4), (41, 30), {"roi_size": (16, 12), "options": {"max_voxels": 100}}),
    ],
    ids=["slices", "large pictures"],
)
def test_two_dimensions(segmenter: Make, affine: np.ndarray, sizes: tuple[int, ...], options: dict) -> None:
    model, image = segmenter(2, labels=LABELS, **options), scan(affine, sizes)
    expected, clear = unbounded(model, image, 0.3)
    assert np.array_equal(model.segment(image, 0.3)[clear], expected[clear]) and clear.mean() > 0.98


def test_values_of_many_classes(segmenter: Make) -> None:
    values = tuple(3 * index for index in range(301))
    model = segmenter(labels={index: "x" for index in range(1, 301)}, label_values=values, roi_size=(8, 8, 8))
    image = scan(OBLIQUE, (9, 8, 7))
    index = unbounded(model, image, 0.3)[0]
    label = model.segment(image, 0.3)
    assert label.dtype == np.uint16 and np.array_equal(label, np.asarray(values)[index])


def test_logits_of_the_image_are_never_in_memory(segmenter: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = segmenter(labels=LABELS, roi_size=(16, 16, 16), options={"max_voxels": 100})
    image = scan(OBLIQUE, (64, 40, 32))
    largest = 0
    empty_like = windows._empty_like

    def strip(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, int(np.prod(shape)))
        return empty_like(tensor, shape)

    monkeypatch.setattr(windows, "_empty_like", strip)
    model.segment(image, 0.3)
    assert 0 < largest < 26 * image.numel() / 8


def test_stages_are_measured(segmenter: Make) -> None:
    model = segmenter(spacing=(1.0, 1.0, 1.0), roi_size=(8, 8, 8), options={"max_voxels": 100})
    with measured() as seconds:
        model.segment(scan(OBLIQUE, (14, 9, 8)), 0.3)
    assert list(seconds) == ["preprocessing", "network", "merging", "argmax", "resampling"]
    assert all(value > 0 for value in seconds.values())
