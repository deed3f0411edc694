from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import image_source, read_image, write_image
from monai_hyperscale.io.images import ImageSource

AFFINE = np.array([[0, 0, 1.0, 3], [-1.5, 0.1, 0, 20], [0, 1.2, 0, 5], [0, 0, 0, 1]])


def test_nifti_keeps_the_geometry_of_the_header(tmp_path: Path) -> None:
    fixed = nib.Nifti1Image(np.ones((5, 4, 3), np.int16), AFFINE)
    fixed.header["descrip"] = b"a name"
    fixed.header["scl_slope"], fixed.header["scl_inter"] = 2, 1
    nib.save(fixed, tmp_path / "fixed.nii.gz")
    image = torch.rand(1, 5, 4, 3) - 0.5
    write_image(image, tmp_path / "moved.nii.gz", image_source(read_image(tmp_path / "fixed.nii.gz")))
    written = nib.load(tmp_path / "moved.nii.gz")
    assert np.array_equal(written.get_fdata(dtype=np.float32), image[0].numpy())
    assert np.array_equal(written.affine, nib.load(tmp_path / "fixed.nii.gz").affine)
    assert written.header["descrip"] == b"" and written.get_data_dtype() == np.float32


def test_channels_are_the_fourth_axis_and_come_back(tmp_path: Path) -> None:
    image = torch.rand(2, 5, 4, 3)
    write_image(image, tmp_path / "a.nii", ImageSource(Path("f.mha"), (5, 4, 3), AFFINE))
    assert torch.equal(read_image(tmp_path / "a.nii", channels=2).as_tensor(), image)


def test_one_slice_gets_its_axis_back(tmp_path: Path) -> None:
    write_image(torch.rand(1, 5, 4), tmp_path / "a.nii", ImageSource(Path("f.nii"), (5, 4, 1), np.eye(4)))
    assert nib.load(tmp_path / "a.nii").shape == (5, 4, 1)


@pytest.mark.parametrize(("channels", "factor"), [(1, 255), (1, 60000), (3, 255)])
def test_pictures(tmp_path: Path, channels: int, factor: int) -> None:
    image = (torch.rand(channels, 7, 5) * factor).round()
    image[:, 0, 0] = factor
    write_image(image, tmp_path / "a.png", ImageSource(Path("f.png"), (7, 5), np.eye(4)))
    assert torch.equal(read_image(tmp_path / "a.png", channels).as_tensor(), image)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (7, 5)


def test_mistakes(tmp_path: Path) -> None:
    source = ImageSource(Path("f.nii"), (5, 4, 3), AFFINE)
    with pytest.raises(ImageError, match="written as .nii.gz or .nii, got a.png"):
        write_image(torch.rand(1, 5, 4, 3), tmp_path / "a.png", source)
    with pytest.raises(ValueError, match="has shape"):
        write_image(torch.rand(1, 5, 4, 4), tmp_path / "a.nii", source)
    assert list(tmp_path.iterdir()) == []
