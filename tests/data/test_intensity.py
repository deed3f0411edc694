from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensity, ScaleIntensityRangePercentiles

from monai_hyperscale.data import NormalizeChannels, NormalizeChannelsd
from monai_hyperscale.data.intensity import channel_kind
from monai_hyperscale.errors import ImageError


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("CT", "ct", "CTA", "CT (portal)", "noncontrast CT"), "ct"),
        (("red", "Green", "B", "rgb_to_0_1"), "colour"),
        (("grey", "gray"), "grey"),
        (("MRI", "T1w", "FLAIR", "PET", "contrast", "image", "actin", "channel 0"), "other"),
    ],
)
def test_kind_by_name(names, kind):
    assert {channel_kind(name) for name in names} == {kind}


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.7e6, 0.0), (1e-4, 0.0), (3.0, 30000.0)])
def test_mr_is_percentile_clip_and_zscore_whatever_the_scale(scale, offset):
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=(20, 21, 22))
    low, high = np.percentile(values, (0.5, 99.5))
    clipped = values.clip(low, high)
    expected = (clipped - clipped.mean()) / clipped.std()
    out = NormalizeChannels(("MRI",))(torch.tensor(values[None] * scale + offset, dtype=torch.float32))
    np.testing.assert_allclose(out[0].numpy(), expected, atol=2e-2 if offset else 1e-4)


def test_mr_equals_monais_two_step_recipe():
    image = torch.rand(1, 15, 16, 17) ** 3 * 900
    recipe = Compose([ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True), NormalizeIntensity()])
    torch.testing.assert_close(NormalizeChannels(("MRI",))(image), recipe(image).as_tensor(), atol=1e-4, rtol=0)


def test_channels_are_scaled_apart():
    image = torch.rand(2, 9, 9, 9) * torch.tensor([1.0, 500.0]).reshape(2, 1, 1, 1)
    both = NormalizeChannels(("T1", "T2"))(image)
    for index in range(2):
        torch.testing.assert_close(both[index : index + 1], NormalizeChannels(("T1",))(image[index : index + 1]))


def test_ct_keeps_hounsfield_units_comparable():
    image = torch.tensor([[[-3024.0, -200.0, 0.0, 50.0, 300.0, 3000.0]]])
    out = NormalizeChannels(("CT",))(image)
    torch.testing.assert_close(out, torch.tensor([[[-2.0, -2.0, -0.4, 0.0, 2.0, 2.0]]]))
    out = NormalizeChannels(("CT [-1000, 1000]",))(image)
    torch.testing.assert_close(out, torch.tensor([[[-2.0, -0.4, 0.0, 0.1, 0.6, 2.0]]]))


@pytest.mark.parametrize(
    ("image", "largest"),
    [
        (torch.tensor([[[0, 51, 255]]] * 3, dtype=torch.uint8), 255),
        (torch.tensor([[[0.0, 51.0, 102.0]]] * 3), 255),
        (torch.tensor([[[0.0, 1000.0, 40000.0]]] * 3), 65535),
        (torch.tensor([[[0.0, 0.5, 1.0]]] * 3), 1),
        (MetaTensor(torch.tensor([[[0.0, 1.0, 1.0]]] * 3), meta={"mode": "RGB"}), 255),
    ],
)
def test_colour_has_a_fixed_scale(image, largest):
    out = NormalizeChannels(("red", "green", "blue"))(image)
    torch.testing.assert_close(torch.as_tensor(out), torch.as_tensor(image).float() / largest * 4 - 2)


def test_grey_is_zscored_without_clip():
    image = torch.zeros(1, 100, 100)
    image[0, :3, :3] = 200.0  # 0.09 % of the pixels: a percentile clip would take them away
    out = NormalizeChannels(("grey",))(image)
    assert out.mean().abs() < 1e-5 and out[0, 0, 0] > 30
    assert NormalizeChannels(("MRI",))(image).unique().tolist() == [0.0]


@pytest.mark.parametrize("channel", ["MRI", "CT", "red", "grey"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), float(np.finfo(np.float32).max)])
def test_values_that_are_not_finite_count_as_the_lowest(channel, bad):
    image = torch.linspace(10, 200, 100).reshape(1, 10, 10).clone()
    image[0, 0, :4] = 10.0
    expected = NormalizeChannels((channel,))(image)
    image[0, 0, :3] = bad
    torch.testing.assert_close(NormalizeChannels((channel,))(image), expected)


@pytest.mark.parametrize("channel", ["MRI", "CT", "red", "grey"])
@pytest.mark.parametrize("value", [0.0, 7.0, -1000.0, 1e6, float("nan")])
def test_constant_images_survive(channel, value):
    for size in (1, 4):
        out = NormalizeChannels((channel,))(torch.full((1, *[size] * 3), value))
        assert out.isfinite().all() and len(out.unique()) == 1
        assert channel not in ("MRI", "grey") or out.unique().item() == 0.0


def test_metadata_stay_and_input_is_kept():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    data = {"image": MetaTensor(torch.rand(1, 5, 6, 7) * 100, affine=affine)}
    before = data["image"].clone()
    out = NormalizeChannelsd("image", ("MRI",))(data)["image"]
    assert np.array_equal(out.affine, affine) and out.spatial_ndim == 3
    assert torch.equal(data["image"], before)


def test_wrong_number_of_channels_is_named():
    image = MetaTensor(torch.zeros(2, 4, 4), meta={"filename_or_obj": "a.nii.gz"})
    with pytest.raises(ImageError, match=r"a\.nii\.gz has 2 channels, but 1 \(MRI\)"):
        NormalizeChannels(("MRI",))(image)
    with pytest.raises(ValueError, match="list of names"):
        NormalizeChannels("MRI")
