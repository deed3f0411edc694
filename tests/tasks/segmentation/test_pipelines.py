from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset
from PIL import Image

from monai_hyperscale.data import inversion
from monai_hyperscale.tasks.segmentation.pipelines import (
    evaluation_preprocessing,
    inference_postprocessing,
    training_transforms,
)

LPS = np.diag([-2.0, -1.0, 1.5, 1.0])


def _logits(label, classes):
    return torch.nn.functional.one_hot(torch.as_tensor(label)[0].long(), classes).movedim(-1, 0).float()


@pytest.fixture
def case(tmp_path, write):
    rng = np.random.default_rng(0)
    values = rng.choice(np.array([0, 4, 17], np.uint8), (6, 7, 5))
    return {
        "image": str(write(tmp_path / "in" / "scan.nii.gz", values.astype(np.float32), LPS)),
        "label": str(write(tmp_path / "in" / "label.nii.gz", values, LPS)),
    }


@pytest.mark.parametrize("slices", [False, True])
def test_training_samples(case, slices):
    dims = 2 if slices else 3
    transforms = training_transforms(("MRI",), dims, (8,) * dims, slices=slices, label_values=(0, 4, 17))
    data = CacheDataset([case], transforms, progress=False)
    first, second = data[0], data[0]
    assert first["image"].shape == (1, *(8,) * dims) and not torch.equal(first["image"], second["image"])
    assert set(first["label"].unique().tolist()) <= {0, 1, 2}
    cached = data._cache[0]
    assert cached["label"].unique().tolist() == [0, 1, 2] and cached["image"].shape == (1, 6, 7, 5)


def test_evaluation_compares_on_the_grid_of_the_file(case):
    transforms = evaluation_preprocessing(("MRI",), 3, spacing=(1.0, 1.0, 1.0), label_values=(0, 4, 17))
    out = transforms(case)
    original = np.asarray(nib.load(case["label"]).dataobj)
    assert np.array_equal(np.array([0, 4, 17])[out["label"][0].numpy()], original)
    image = out["image"][0].as_tensor()
    assert image.shape != original.shape
    bright = torch.stack([(image < 0.5).float(), (image >= 0.5).float()])
    pred = inversion(transforms)({"image": out["image"], "pred": bright})["pred"]
    assert pred.shape == out["label"].shape
    assert ((pred[0] == 1).numpy() == (original == 17)).mean() > 0.9


def test_volumes_are_written_on_their_grid_with_their_values(case, tmp_path):
    transforms = evaluation_preprocessing(("MRI",), 3, label_values=(0, 4, 17))
    out = transforms(case)
    turned = torch.as_tensor(out["label"]).flip(1, 2)  # the label is on the grid of the file, the network's is RAS
    write = inference_postprocessing(transforms, tmp_path / "out", label_values=(0, 4, 17))
    write({"image": out["image"], "pred": _logits(turned, 3)})
    (path,) = (tmp_path / "out").iterdir()
    result = nib.load(path)
    assert path.name == "scan.nii.gz"
    np.testing.assert_allclose(result.affine, LPS, atol=1e-6)
    assert np.array_equal(np.asarray(result.dataobj), np.asarray(nib.load(case["label"]).dataobj))


def test_pictures_are_written_upright_with_their_values(tmp_path, write):
    levels = np.array([[0, 128, 255], [255, 0, 0]], np.uint8)
    case = {
        "image": str(write(tmp_path / "in" / "a.png", levels)),
        "label": str(write(tmp_path / "in" / "b.png", levels)),
    }
    transforms = evaluation_preprocessing(("grey",), 2, label_values=(0, 128, 255))
    out = transforms(case)
    save = inference_postprocessing(transforms, tmp_path / "out", label_values=(0, 128, 255))
    save({"image": out["image"], "pred": _logits(out["label"], 3)})
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert np.array_equal(np.asarray(image), levels)


@pytest.mark.parametrize(("greatest", "bits"), [(300, "I;16"), (255, "L")])
def test_pictures_hold_values_above_a_byte(tmp_path, write, greatest, bits):
    levels = np.array([[0, 7, 0], [1, 1, 0]], np.uint8)
    path = str(write(tmp_path / "in" / "a_0000.png", levels))
    transforms = evaluation_preprocessing(("grey",), 2)
    out = transforms({"image": path, "label": path})
    pred = _logits((out["label"] > 0).long(), 2)
    save = inference_postprocessing(transforms, tmp_path / "out", label_values=(0, greatest))
    save({"image": out["image"], "pred": pred, "name": "a"})
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert image.mode == bits
        assert np.array_equal(np.asarray(image), np.where(levels > 0, greatest, 0))
    save = inference_postprocessing(transforms, tmp_path / "large", label_values=(0, 70000))
    with pytest.raises(RuntimeError) as caught:
        save({"image": out["image"], "pred": pred})
    assert "up to 65535" in str(caught.value.__cause__) and not (tmp_path / "large").exists()


def test_volumes_keep_the_header_of_their_image(tmp_path):
    image = nib.Nifti1Image(np.zeros((6, 7, 5), np.int16), None)
    image.header.set_qform(LPS, code=1)
    image.header.set_sform(LPS @ np.diag([1, 1, 1.01, 1]), code=4)
    image.header.set_xyzt_units("micron", "msec")
    image.header.set_zooms((2.0, 1.0, 1.5))
    image.header["cal_max"] = 400
    path = tmp_path / "scan_0000.nii"
    nib.save(image, path)
    transforms = evaluation_preprocessing(("MRI",), 3)
    out = transforms({"image": str(path), "label": str(path)})
    classes, values = np.arange(210).reshape(1, 6, 7, 5) % 3, np.array([0, 312782547, 312782551])  # beyond float32
    save = inference_postprocessing(transforms, tmp_path / "out", label_values=values.tolist())
    result = save({"image": out["image"], "pred": _logits(classes, 3)})
    assert set(result) == {"image", "pred"}
    before, after = nib.load(path), nib.load(tmp_path / "out" / "scan_0000.nii.gz")
    for name in ("pixdim", "qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_z", "xyzt_units"):
        assert np.array_equal(before.header[name], after.header[name]), name
    assert after.header["cal_max"] == 0
    written = values[np.flip(classes[0], (0, 1))]  # the network sees RAS
    assert np.array_equal(np.asanyarray(after.dataobj), written)
