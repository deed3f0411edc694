"""Awkward real files: each gives a label map on its own grid, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_hyperscale.io import read_image, split_suffix
from tests.cli.commands import Run

REFUSED = {
    "2D_head_fixed.mha": "is 2D, but the network takes 3D images",
    "2D_head_moving.mha": "is 2D, but the network takes 3D images",
    "CIT168_rgba.nii.gz": "has colour voxels (RGBA)",
    "empty_0bytes.nii.gz": "is empty (0 bytes)",
    "example4d.nii.gz": "is 4D, of shape 128x96x24x2",
    "functional_4d_scaled.nii": "is 4D, of shape 17x21x3x20",
    "test_4d_big_endian.mgz": "is 4D, of shape 3x4x5x2",
    "warp_5d_with_fltmax.nii.gz": "is 5D, of shape 60x55x52x1x3",
}
# One of every kind of the full-size ones: the whole folder takes minutes.
FULL_SIZE = ("mni152_t1_182x218x182_LAS.nii.gz", "inia19_macaque_labels.nii.gz")


def check_same_grid(image: Path, output: Path) -> None:
    written = nib.load(output)
    label = np.asarray(written.dataobj)
    assert label.dtype == np.uint8 and label.max() <= 2
    if split_suffix(image)[1].startswith(".nii"):
        original = nib.load(image)
        assert np.array_equal(written.affine, original.affine)
        assert written.shape == original.shape
        assert np.array_equal(written.header["pixdim"], original.header["pixdim"])
    else:
        original = read_image(image)
        assert written.shape == tuple(original.shape[1:])
        # NIfTI stores affines in single precision.
        assert np.allclose(written.affine, original.affine.numpy(), rtol=1e-6, atol=1e-6)


def test_odd_inputs(shared_data: Path, tmp_path: Path, segment: Run) -> None:
    folder = shared_data / "odd_inputs"
    images = [path for path in sorted(folder.iterdir()) if split_suffix(path)[1]]
    assert REFUSED.keys() < {image.name for image in images}
    text = segment(folder, "-o", tmp_path, "--phi", 0.3, code=1).err
    errors = [line[line.index("error: ") :] for line in text.splitlines() if "error: " in line]
    for image in images:
        told = [line for line in errors if f"{image} " in line]
        output = tmp_path / f"{split_suffix(image)[0]}{'.nii' if image.suffix == '.nii' else '.nii.gz'}"
        if image.name in REFUSED:
            assert len(told) == 1 and REFUSED[image.name] in told[0]
            assert not output.exists()
        else:
            assert told == []
            check_same_grid(image, output)
    assert len(list(tmp_path.iterdir())) == len(images) - len(REFUSED)


def test_refused_alone(shared_data: Path, tmp_path: Path, segment: Run) -> None:
    image, output = shared_data / "odd_inputs" / "example4d.nii.gz", tmp_path / "out" / "label.nii.gz"
    text = segment(image, "-o", output, code=1).err
    assert text.startswith(f"error: {image} ") and text.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size(shared_data: Path, tmp_path: Path, segment: Run, name: str) -> None:
    image, output = shared_data / "templates_fullsize" / name, tmp_path / "label.nii.gz"
    segment(image, "-o", output, "--phi", 0.2)
    check_same_grid(image, output)


@pytest.mark.slow
def test_all_full_size(shared_data: Path, tmp_path: Path, segment: Run) -> None:
    folder = shared_data / "templates_fullsize"
    segment(folder, "-o", tmp_path, "--phi", 0.2)
    for image in folder.glob("*.nii.gz"):
        check_same_grid(image, tmp_path / image.name)
