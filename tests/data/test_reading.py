from __future__ import annotations

import threading
import time

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Transform

from monai_hyperscale.data.reading import CachedCases, ReadImaged
from monai_hyperscale.errors import ImageError
from monai_hyperscale.io import read_image


class _Read(Transform):
    """Adds one, slowly; the first case is damaged where ``damaged`` says so."""

    def __init__(self, damaged=False):
        self.damaged = damaged
        self.begun = []

    def __call__(self, case):
        self.begun.append(case)
        if case == 0 and self.damaged:
            time.sleep(0.05)
            raise ValueError("damaged")
        time.sleep(0.3 if self.damaged else 0)
        return case + 1


def test_no_thread_outlives_an_error():
    """What runs on within torch while the program ends makes the C++ runtime abort it."""
    read, before = _Read(damaged=True), threading.active_count()
    with pytest.raises(RuntimeError, match="_Read"):
        CachedCases(range(20), read, num_workers=3)
    assert threading.active_count() == before
    assert len(read.begun) < 20


def test_order_and_share():
    read = _Read()
    cases = CachedCases(range(10), read, cache_rate=0.5, num_workers=4)
    assert sorted(read.begun) == [0, 1, 2, 3, 4]
    assert [cases[index] for index in range(10)] == list(range(1, 11))
    assert read.begun[5:] == [5, 6, 7, 8, 9]
    assert len(CachedCases(range(3), _Read(), cache_rate=0.0)) == 3


def test_reader_says_what_is_wrong(tmp_path, write):
    def read(channels, path):
        return ReadImaged("image", channels)({"image": str(path)})["image"]

    colour = write(tmp_path / "colour.png", np.zeros((3, 4, 3), np.uint8))
    assert read(3, write(tmp_path / "grey.tif", np.zeros((3, 4), np.uint8))).shape == (3, 4, 3)
    with pytest.raises(ImageError, match="one grey channel is needed"):
        read(1, colour)
    colour.write_bytes(colour.read_bytes()[:40])
    with pytest.raises(ImageError, match=r"colour\.png is damaged"):
        read(3, colour)
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = write(tmp_path / "levels.png", np.repeat(levels[..., None], 3, axis=2))
    assert np.array_equal(read(0, path)[0].numpy(), levels.T)
    tinted = np.zeros((3, 4, 3), np.uint8)
    tinted[0, 0, 0] = 1
    with pytest.raises(ImageError, match="colours"):
        read(0, write(tmp_path / "tinted.png", tinted))


@pytest.mark.parametrize("unit", ["micron", "mm", "meter", "unknown"])
def test_training_sees_the_place_that_inference_does(tmp_path, write, unit):
    image = nib.load(write(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)))
    image.set_sform(np.array([[0, -1.2, 0.1, 9], [0.9, 0, 0, -4], [0, 0.1, 2.1, 30], [0, 0, 0, 1]]), 2)
    image.set_qform(np.eye(4), 1)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii.gz")
    ours = read_image(tmp_path / "a.nii.gz")
    case = ReadImaged("image", 1)({"image": str(tmp_path / "a.nii.gz")})
    assert np.array_equal(case["image"].affine.numpy(), ours.affine.numpy())
    assert np.array_equal(case["image"].numpy(), ours.numpy())


def test_channel_files_of_several_places_are_refused(tmp_path, write):
    paths = [write(tmp_path / f"a_{n:04d}.nii.gz", np.zeros((4, 5, 6), np.float32)) for n in range(2)]
    write(paths[1], np.zeros((4, 5, 6), np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(ImageError, match="has another affine than"):
        ReadImaged("image", 1)({"image": [str(path) for path in paths]})
