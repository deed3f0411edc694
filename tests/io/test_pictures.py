from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import read_image, read_label, write_label

GREY = np.random.default_rng(0).integers(0, 255, (6, 9)).astype(np.uint8)  # rows, columns
RGB = np.random.default_rng(1).integers(0, 255, (6, 9, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "A.PNG"])
def test_axes_are_width_and_height(tmp_path: Path, name: str) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert np.array_equal(image.numpy(), GREY.T[None])
    assert np.array_equal(image.affine.numpy(), np.eye(4))


def test_colour_is_three_channels_or_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    assert np.array_equal(read_image(tmp_path / "rgb.png", channels=3).numpy(), RGB.transpose(2, 1, 0))
    with pytest.raises(ImageError, match="in colour"):
        read_image(tmp_path / "rgb.png")


DEEP = GREY.astype(np.uint16) * 200


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (GREY, np.stack([GREY] * 3, axis=2)),
        (np.dstack([RGB, GREY]), RGB),  # alpha
        (GREY > 100, 255.0 * (GREY > 100)[..., None]),
        (DEEP, DEEP[..., None]),
    ],
)
def test_alpha_one_and_sixteen_bit(tmp_path: Path, pixels: np.ndarray, expected: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png", channels=expected.shape[2])
    assert np.array_equal(found.numpy(), expected.transpose(2, 1, 0))


@pytest.mark.parametrize(("voxels", "channels"), [(GREY, ("grey",)), (RGB, ("red", "green", "blue"))])
def test_network_sees_what_it_saw_in_training(tmp_path: Path, voxels: np.ndarray, channels: tuple[str, ...]) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(voxels).save(path)
    training = segmentation_preprocessing(channels, 2, keys=("image",))
    ours = {"image": read_image(path, len(channels))}
    for transform in training.transforms[1:]:
        ours = transform(ours)
    assert np.array_equal(ours["image"].numpy(), training({"image": str(path)})["image"].numpy())


def test_damaged_and_paged(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for kept in range(1, 9):
        (tmp_path / "a.png").write_bytes(whole[: len(whole) * kept // 10])
        with pytest.raises(ImageError, match="a.png"):
            read_image(tmp_path / "a.png")
    pages = [Image.fromarray(GREY)] * 2
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="2 pages"):
        read_image(tmp_path / "pages.tif")


@pytest.mark.parametrize(("greatest", "mode"), [(2, "L"), (700, "I;16")])
def test_label_map_lies_over_the_picture(tmp_path: Path, greatest: int, mode: str) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    label = (image.numpy()[0] > 100).astype(np.int64) * greatest
    write_label(label, tmp_path / "label.png", image)
    with Image.open(tmp_path / "label.png") as written:
        assert written.mode == mode
        assert np.array_equal(np.asarray(written), (GREY > 100) * greatest)
    assert np.array_equal(read_label(tmp_path / "label.png"), label)
