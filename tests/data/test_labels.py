from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_hyperscale.data import ClassIndexd
from monai_hyperscale.errors import DatasetError


def indices(values, label):
    return ClassIndexd("label", values)({"label": label})["label"]


@pytest.mark.parametrize(
    ("values", "label", "expected", "dtype"),
    [
        ((0, 4, 17), torch.tensor([[0.0, 4.0, 17.0, float("nan"), 4.0004]]), [0, 1, 2, 0, 1], torch.uint8),
        # Beyond float32 neighbours stay apart, and indices never wrap.
        ((0, 312782547, 312782551), torch.tensor([[0, 312782547, 312782551]]), [0, 1, 2], torch.uint8),
        (range(301), torch.arange(301)[None], list(range(301)), torch.int16),
        (range(0, 80000, 2), torch.tensor([[0, 79998]]), [0, 39999], torch.int32),
    ],
)
def test_values_become_indices(values, label, expected, dtype):
    out = indices(values, label)
    assert out[0].tolist() == expected and out.dtype == dtype


@pytest.mark.parametrize("value", [-1.0, 3.0, 18.0, 0.5])
def test_other_values_are_refused_by_name(value):
    label = MetaTensor(torch.tensor([[0.0, value]]), meta={"filename_or_obj": "case_7.nii.gz"})
    with pytest.raises(DatasetError, match=r"case_7\.nii\.gz holds") as error:
        indices((0, 4, 17), label)
    assert f"{value:g}" in str(error.value)


def test_metadata_stay_and_input_is_kept():
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    data = {"label": MetaTensor(torch.full((1, 2, 2, 2), 255.0), affine=affine), "name": "a"}
    out = ClassIndexd("label", (0, 255))(data)
    assert np.array_equal(out["label"].affine, affine)
    assert out["label"].unique().tolist() == [1] and out["name"] == "a"
    assert data["label"].unique().tolist() == [255]


@pytest.mark.parametrize("values", [(0,), (0, 2, 1), (0, 0, 1)])
def test_values_must_ascend(values):
    with pytest.raises(ValueError, match="ascending"):
        ClassIndexd("label", values)
