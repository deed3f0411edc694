from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn as nn
from monai.data import MetaTensor

from monai_hyperscale.bundle.settings import build_network, write_settings
from monai_hyperscale.data.intensity import NormalizeChannels
from monai_hyperscale.errors import CheckpointError, ImageError
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

Make = Callable[..., Segmenter]


class Threshold(nn.Module):
    """Stands in for a folded network: class 1 above the mean of the prepared image, 2 above one spread more."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(x.shape))
        return torch.cat([-x, x, 2 * x - 1], dim=1)


def with_threshold(segmenter: Segmenter, phi: float = 0.5) -> Threshold:
    network = Threshold()
    segmenter._folded[segmenter.network.context(phi=phi)] = network
    return network


def blob(shape: tuple[int, ...] = (14, 12, 10)) -> np.ndarray:
    """Return a smooth image that is different along every axis and direction."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    middle = (0.3, -0.2, 0.1)[: len(shape)]
    return np.exp(-sum(((axis - m) * (2 + i)) ** 2 for i, (axis, m) in enumerate(zip(axes, middle, strict=True))))


def expected_of(voxels: np.ndarray) -> np.ndarray:
    x = NormalizeChannels(("MRI",))(torch.as_tensor(voxels, dtype=torch.float32)[None])[0].numpy()
    return np.argmax([-x, x, 2 * x - 1], axis=0)


ORIENTATIONS = [
    np.diag([1.0, 1.0, 1.0, 1.0]),
    np.diag([-1.0, -1.0, 2.0, 1.0]),
    np.array([[0, 0, 1.0, 3], [-1.5, 0, 0, 20], [0, -1, 0, 5], [0, 0, 0, 1]]),
    np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]]),  # turned by 16 degrees
]


@pytest.mark.parametrize("affine", ORIENTATIONS)
def test_label_lies_on_the_grid_of_the_image(segmenter: Make, affine: np.ndarray) -> None:
    model = segmenter()
    with_threshold(model)
    voxels = blob()
    label = model.segment(MetaTensor(torch.as_tensor(voxels)[None].float(), affine=torch.as_tensor(affine)), 0.5)
    assert np.array_equal(label, expected_of(voxels))
    assert label.dtype == np.uint8


@pytest.mark.parametrize("affine", ORIENTATIONS)
def test_network_sees_ras_at_its_spacing(segmenter: Make, affine: np.ndarray) -> None:
    model = segmenter(spacing=(1.0, 1.0, 1.0))
    network = with_threshold(model)
    # Fine enough for the label's border to be smooth on both grids.
    voxels = blob((28, 24, 20))
    label = model.segment(MetaTensor(torch.as_tensor(voxels)[None].float(), affine=torch.as_tensor(affine)), 0.5)
    assert label.shape == voxels.shape
    assert (label == expected_of(voxels)).mean() > 0.9
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    order = np.abs(affine[:3, :3]).argmax(axis=1)
    seen = np.array(network.shapes[0][2:])
    between_centres = (np.array(voxels.shape) - 1) * zooms
    assert np.abs(seen - 1 - between_centres[order]).max() <= 1


def test_same_as_the_hypernetwork_on_the_prepared_image(segmenter: Make) -> None:
    model = segmenter()
    voxels = torch.as_tensor(blob((13, 7, 5)))[None].float()
    prepared = NormalizeChannels(("MRI",))(voxels)
    with torch.no_grad():
        logits = model.network(prepared[None], phi=0.3)
    assert np.array_equal(model.segment(MetaTensor(voxels), 0.3), logits[0].argmax(0).numpy())


def test_one_voxel_and_constant_images(segmenter: Make) -> None:
    for shape in ((1, 1, 1), (1, 9, 1), (5, 4, 7)):
        assert segmenter().segment(MetaTensor(torch.full((1, *shape), 7.0)), 0.2).shape == shape


@pytest.mark.parametrize("short", [False, True], ids=["large", "too little memory"])
def test_images_go_through_in_windows(segmenter: Make, short: bool, caplog: pytest.LogCaptureFixture) -> None:
    model = segmenter(options={} if short else {"max_voxels": 1000}, roi_size=(8, 8, 8))
    network = with_threshold(model)
    forward = network.forward

    def limited(x: torch.Tensor) -> torch.Tensor:
        if x.numel() > 8**3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(x)

    network.forward = limited  # type: ignore[method-assign]
    voxels = blob()
    label = model.segment(MetaTensor(torch.as_tensor(voxels)[None].float()), 0.5)
    assert set(network.shapes) == {(1, 1, 8, 8, 8)}
    assert np.array_equal(label, expected_of(voxels))
    assert ("too little memory" in caplog.text) == short


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError, "mat1 and mat2"),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError, "even in windows"),
    ],
)
def test_errors_of_the_network_come_through(
    segmenter: Make, raised: Exception, kind: type[Exception], message: str
) -> None:
    model = segmenter()

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise raised

    with_threshold(model).forward = broken  # type: ignore[method-assign]
    with pytest.raises(kind, match=message):
        model.segment(MetaTensor(torch.rand(1, 4, 4, 4)), 0.5)


@pytest.mark.parametrize("affine", ORIENTATIONS[:3])
def test_slices_of_volumes_are_axial(segmenter: Make, affine: np.ndarray) -> None:
    model = segmenter(2, slices=True)
    network = with_threshold(model)
    voxels = blob()
    label = model.segment(MetaTensor(torch.as_tensor(voxels)[None].float(), affine=torch.as_tensor(affine)), 0.5)
    assert np.array_equal(label, expected_of(voxels))
    inferior_superior = int(np.abs(affine[2, :3]).argmax())
    assert sum(shape[0] for shape in network.shapes) == voxels.shape[inferior_superior]


@pytest.mark.parametrize(("shape", "slices"), [((1, 14, 9), False), ((1, 14, 9, 1), False), ((1, 14, 9), True)])
def test_two_dimensions(segmenter: Make, shape: tuple[int, ...], slices: bool) -> None:
    model, voxels = segmenter(2, slices=slices), blob((14, 9))
    with_threshold(model)
    image = MetaTensor(torch.as_tensor(voxels).float().reshape(shape), affine=torch.eye(4))
    assert np.array_equal(model.segment(image, 0.5), expected_of(voxels).reshape(shape[1:]))


def test_label_values_of_the_training_files(segmenter: Make) -> None:
    model = segmenter(label_values=(0, 128, 300))
    with_threshold(model)
    voxels = blob()
    label = model.segment(MetaTensor(torch.as_tensor(voxels)[None].float()), 0.5)
    assert np.array_equal(label, np.array([0, 128, 300])[expected_of(voxels)])
    assert label.dtype == np.uint16
    assert model.settings.value_names == {128: "a", 300: "b"}


@pytest.mark.parametrize(
    ("spatial_dims", "shape", "error"),
    [
        (3, (2, 5, 5, 5), "has 2 channels, but the network takes 1 \\(MRI\\)"),
        (3, (1, 5, 5), "is 2D, but the network takes 3D images"),
        (2, (1, 5, 5, 4), "is 3D, but the network takes 2D images"),
    ],
)
def test_images_of_another_kind(segmenter: Make, spatial_dims: int, shape: tuple[int, ...], error: str) -> None:
    with pytest.raises(ImageError, match=f"scan.nii {error}"):
        segmenter(spatial_dims).segment(MetaTensor(torch.rand(shape), meta={"filename_or_obj": "scan.nii"}))


def test_folded_networks_are_kept_and_frozen(segmenter: Make) -> None:
    model = segmenter()
    folded = model.fold(0.3)
    assert model.fold(0.3) is folded and model.fold([0.3]) is folded and model.fold(0.31) is not folded
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    for phi in np.linspace(0.4, 0.5, 8):
        model.fold(float(phi))
    assert len(model._folded) == 4
    assert model.fold(0.3) is not folded


def test_later_training_changes_nothing() -> None:
    settings = SegmentationSettings(3, ("MRI",), {1: "a"}, network={"features": (4, 4)})
    network = build_network(settings)
    model, image = Segmenter(settings, network), MetaTensor(torch.rand(1, 9, 8, 7))
    before = model.segment(image, 0.5), model.fold(0.2).state_dict()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    assert np.array_equal(model.segment(image, 0.5), before[0])
    after = Segmenter(settings, network).fold(0.2).state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before[1].items())
    assert all(torch.equal(model.fold(0.2).state_dict()[name], value) for name, value in before[1].items())


def test_the_image_is_left_as_it_was(segmenter: Make) -> None:
    image = MetaTensor(torch.rand(1, 6, 5, 4), affine=torch.diag(torch.tensor([-2.0, 1, 1, 1])))
    before = image.clone()
    segmenter(spacing=(1, 1, 1)).segment(image, 0.5)
    assert torch.equal(image.as_tensor(), before.as_tensor()) and torch.equal(image.affine, before.affine)
    assert image.applied_operations == []


def test_threads_with_their_own_phi(segmenter: Make) -> None:
    model = segmenter()
    image = MetaTensor(torch.rand(1, 12, 11, 10))
    phis = [0.1, 0.3, 0.5, 0.7] * 3
    alone = {phi: model.segment(image, phi) for phi in set(phis)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda phi: model.segment(image, phi), phis))
    assert all(np.array_equal(alone[phi], label) for phi, label in zip(phis, together, strict=True))


def bundle(folder: Path, half: bool = False) -> SegmentationSettings:
    settings = SegmentationSettings(3, ("MRI",), {1: "a"}, network={"features": [4, 4]}, generator={"hidden": [6, 4]})
    folder.mkdir(parents=True, exist_ok=True)
    weights = build_network(settings).state_dict()
    torch.save({name: value.half() if half else value for name, value in weights.items()}, folder / "model.pt")
    write_settings(settings, folder / "model.json")
    return settings


@pytest.mark.parametrize(("place", "half"), [(".", True), ("models", False)])
def test_from_bundle(tmp_path: Path, place: str, half: bool) -> None:
    settings = bundle(tmp_path / place, half)
    model = Segmenter.from_bundle(tmp_path, max_voxels=5)
    assert model.settings == settings and model.inferer.max_voxels == 5
    stored = torch.load(tmp_path / place / "model.pt", weights_only=True)
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[name], value.float()) for name, value in stored.items())
    assert all(value.dtype == torch.float32 for value in loaded.values())


def test_bundles_that_cannot_be_used(tmp_path: Path) -> None:
    settings = bundle(tmp_path)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    torch.save({**weights, "generator.heads": weights["generator.heads"] * float("nan")}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        Segmenter.from_bundle(tmp_path)
    torch.save(weights, tmp_path / "model.pt")
    write_settings(dataclasses.replace(settings, labels={1: "a", 2: "b"}), tmp_path / "model.json")
    with pytest.raises(CheckpointError, match="are not of the network that model.json"):
        Segmenter.from_bundle(tmp_path)
    torch.save({"generator.heads": 3}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="are not of the network that model.json"):
        Segmenter.from_bundle(tmp_path)
    (tmp_path / "model.pt").unlink()
    with pytest.raises(CheckpointError, match="no weights at"):
        Segmenter.from_bundle(tmp_path)
