from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import group_channels, image_source, read_image, read_source, write_label

AFFINE = np.diag([-2.0, 1.5, 3.0, 1.0])


def grouped(*names: str, channels: int) -> dict[str, list[str]]:
    return {image.name: [path.name for path in image.paths] for image in group_channels(names, channels)}


def test_files_are_channels_of_one_image() -> None:
    names = ("in/b_0001.nii.gz", "in/b_0000.nii.gz", "in/a.b_0000.mha", "in/a.b_0001.mha", "in/c.nii")
    files = {"b": ["b_0000.nii.gz", "b_0001.nii.gz"], "a.b": ["a.b_0000.mha", "a.b_0001.mha"], "c": ["c.nii"]}
    assert grouped(*names, channels=2) == files
    # Those of two folders are not mixed.
    images = group_channels(["x/a_0000.nii", "y/a_0000.nii", "y/a_0001.nii", "x/a_0001.nii"], 2)
    assert [{path.parent.name for path in image.paths} for image in images] == [{"x"}, {"y"}]


@pytest.mark.parametrize("channels", [1, 3])
def test_one_file_holds_all_channels_where_all_end_in_0000(channels: int) -> None:
    assert grouped("a_0000.png", "b_0000.png", channels=channels) == {"a": ["a_0000.png"], "b": ["b_0000.png"]}


def test_numbers_may_be_names() -> None:
    for names in (("a_0000.nii", "a_0001.nii"), ("a_0000.nii", "b.nii"), ("a_0007.nii",)):
        assert grouped(*names, channels=1) == {name[: -len(".nii")]: [name] for name in names}
    assert grouped("a_0001.nii", "a_0002.nii", channels=2) == {"a_0001": ["a_0001.nii"], "a_0002": ["a_0002.nii"]}


@pytest.mark.parametrize(
    "names",
    [
        ("a_0000.nii", "b_0000.nii", "b_0001.nii"),
        ("a_0001.nii", "b_0000.nii", "b_0001.nii"),
        ("a_0000.nii", "a_0002.nii"),
        ("a_0000.nii", "a_0001.nii", "a_0002.nii"),
        ("a_0000.nii", "a_0000.nii.gz", "a_0001.nii"),
    ],
)
def test_missing_and_further_channels_are_told(names: tuple[str, ...]) -> None:
    with pytest.raises(ImageError, match="^a has the channel files .*takes 2 channels, 0000 to 0001; complete them"):
        group_channels(names, 2)


def save(path: Path, shape: tuple[int, ...] = (5, 4, 3), affine: np.ndarray = AFFINE) -> np.ndarray:
    voxels = np.random.default_rng(len(path.name)).random(shape).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return voxels


def test_channel_files_are_read_as_one_image(tmp_path: Path) -> None:
    paths = [tmp_path / "a.nii.gz", tmp_path / "longer.nii"]
    voxels = [save(path) for path in paths]
    image = read_image(paths, 2)
    assert np.array_equal(image.numpy(), np.stack(voxels))
    assert np.array_equal(image.affine.numpy(), AFFINE)
    assert image_source(image).path == paths[0]
    write_label(np.ones((5, 4, 3), np.uint8), tmp_path / "label.nii", image)
    assert np.array_equal(read_image(paths[:1]).numpy()[0], voxels[0])


def test_channel_files_that_are_no_one_image(tmp_path: Path) -> None:
    first, second = tmp_path / "a.nii", tmp_path / "b.nii"
    save(first)
    with pytest.raises(ImageError, match="2 channels is needed, got 3 files"):
        read_image([first] * 3, 2)
    for other, told in (
        (None, "b.nii does not exist"),
        ({"shape": (5, 4, 2)}, "b.nii has 5x4x2 voxels, but .*a.nii 5x4x3; resample"),
        ({"affine": np.diag([2.0, 1.5, 3.0, 1.0])}, "b.nii has another affine than .*a.nii; resample"),
    ):
        if other is not None:
            save(second, **other)
        with pytest.raises(ImageError, match=told):
            read_image([first, second], 2)


@pytest.mark.parametrize("name", ["a.nii", "A.NII.GZ", "a.mgz", "a.png"])
@pytest.mark.parametrize("size", [(5, 4, 3), (5, 4, 3, 1)])
def test_source_is_that_of_the_image(tmp_path: Path, name: str, size: tuple[int, ...]) -> None:
    path = tmp_path / name
    if name == "a.png":
        Image.fromarray(np.zeros(size[:2], np.uint8)).save(path)
    elif name == "a.mgz":
        nib.save(nib.MGHImage(np.ones(size[:3], np.float32), AFFINE), path)
    else:
        save(path, size)
    source, expected = read_source(path), image_source(read_image(path))
    assert (source.path, source.shape) == (path, expected.shape)
    assert np.array_equal(source.affine, expected.affine)
    assert (source.header is None) == (expected.header is None)
    assert source.header is None or source.header.binaryblock == expected.header.binaryblock


def test_source_needs_no_voxels_but_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    save(path)
    content = path.read_bytes()
    path.write_bytes(content[:352])
    assert read_source(path).shape == (5, 4, 3)
    path.write_bytes(content[:200])
    (tmp_path / "a.png").write_bytes(b"no picture")
    for name, told in (("a.nii", "damaged"), ("a.png", "damaged"), ("b.nii", "does not exist")):
        with pytest.raises(ImageError, match=told):
            read_source(tmp_path / name)
