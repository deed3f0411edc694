from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from monai.data import MetaTensor
from PIL import Image

from monai_hyperscale.tasks.segmentation.pictures import save_preview, slice_centre, value_colour


class Drawn(list):
    """Arrays and aspects that were drawn."""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    calls = Drawn()
    original = Axes.imshow

    def record(self: Axes, picture: np.ndarray, **options: object) -> object:
        calls.append((np.asarray(picture), options))
        return original(self, picture, **options)

    monkeypatch.setattr(Axes, "imshow", record)
    return calls


def volume(affine: np.ndarray, shape: tuple[int, ...] = (12, 10, 8)) -> tuple[MetaTensor, np.ndarray]:
    voxels = torch.arange(float(np.prod(shape))).reshape(1, *shape)
    label = np.zeros(shape, np.uint8)
    label[2:5, 6:8, 1:4] = 2
    return MetaTensor(voxels, affine=torch.as_tensor(affine)), label


def test_three_slices_through_the_label(tmp_path: Path, drawn: Drawn) -> None:
    image, label = volume(np.diag([1.0, 2.0, 4.0, 1.0]))
    save_preview(image, label, tmp_path / "p.png", {2: "hippocampus"}, "title")
    greys, overlays = drawn[::2], drawn[1::2]
    voxels = image.numpy()[0]
    for (grey, options), expected in zip(greys, (voxels[3], voxels[:, 6], voxels[:, :, 2]), strict=True):
        assert np.array_equal(grey, expected.T)
        assert options["origin"] == "lower"
    # Height of a pixel against its width: z against y, z against x, y against x.
    assert [options["aspect"] for _, options in greys] == [2, 4, 2]
    for overlay, _ in overlays:
        shown = overlay[..., 3] > 0
        assert shown.sum() == (6 if overlay is not overlays[1][0] else 9)
        assert np.allclose(overlay[shown], (*value_colour(2), 0.5))
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_volumes_are_turned_to_ras(tmp_path: Path, drawn: Drawn) -> None:
    image, label = volume(np.eye(4))
    save_preview(image, label, tmp_path / "ras.png", {})
    straight = [picture for picture, _ in drawn]
    drawn.clear()
    # The same anatomy stored with axes (S, L, A).
    affine = np.array([[0, -1, 0, 11], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    turned = image.as_tensor().permute(0, 3, 1, 2).flip(2)
    save_preview(
        MetaTensor(turned, affine=torch.as_tensor(affine)), label.transpose(2, 0, 1)[:, ::-1], tmp_path / "sla.png", {}
    )
    assert len(drawn) == len(straight)
    assert all(np.array_equal(one, other) for one, (other, _) in zip(straight, drawn, strict=True))


def test_two_dimensions_without_labels(tmp_path: Path, drawn: Drawn) -> None:
    image = MetaTensor(torch.rand(3, 9, 6))
    save_preview(image, np.zeros((9, 6), np.uint8), tmp_path / "p.png", {1: "cell"})
    assert len(drawn) == 2
    assert np.array_equal(drawn[0][0], image.numpy()[0].T)
    assert drawn[0][1]["origin"] == "upper"
    assert not drawn[1][0].any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 1), (5, 6)])
def test_smallest_and_constant_images_and_many_labels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    label = np.arange(1, np.prod(shape) + 1, dtype=np.uint8).reshape(shape)
    save_preview(MetaTensor(torch.ones(1, *shape)), label, tmp_path / "p.png", {1: "a"})
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_centre_lies_in_a_label_even_between_two_of_them() -> None:
    label = np.zeros((21, 5, 5))
    label[2:4, 2, 2] = label[15:20, 2, 2] = 1
    # The centre of mass along the first axis is 12.9, where there is no label.
    assert slice_centre(label) == [15, 2, 2]
    assert slice_centre(np.zeros((4, 7, 1))) == [2, 3, 0]


@pytest.mark.parametrize("shape", [(9, 14, 11), (9, 14)])
def test_centre_is_the_same_in_any_layout(shape: tuple[int, ...]) -> None:
    label = np.random.default_rng(0).integers(-8, 3, shape).clip(0).astype(np.uint8)
    label[:3] = 0
    places = np.nonzero(label)
    expected = [int(n[np.abs(n - n.mean()).argmin()]) for n in map(np.asarray, places)]
    for array in (label, np.asfortranarray(label), label[::-1][::-1]):
        assert np.abs(np.array(slice_centre(array)) - expected).max() == 0
    assert slice_centre(label.T[::-1]) == [
        shape[-1] - 1 - centre if axis == 0 else centre for axis, centre in enumerate(expected[::-1])
    ]


def test_large_images_are_sampled_for_their_range(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = MetaTensor(torch.randn(1, 20, 24, 30), affine=torch.eye(4))
    label = np.zeros((20, 24, 30), np.uint8)
    monkeypatch.setattr("monai_hyperscale.tasks.segmentation.pictures._SAMPLE", 2000)
    save_preview(image, label, tmp_path / "p.png", {})
    low, high = np.percentile(image.numpy(), (0.5, 99.5))
    for _, options in drawn[::2]:
        assert options["vmin"] == pytest.approx(low, rel=0.2)
        assert options["vmax"] == pytest.approx(high, rel=0.2)
