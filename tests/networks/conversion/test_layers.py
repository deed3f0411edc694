from __future__ import annotations

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.conversion.layers import (
    InterpolatedUpSample,
    LearnedUpSample,
    ResizedPool,
    StridedResize,
    resizing_convolution,
)
from monai_hyperscale.networks.layers import rescaled_size, rescaling_factor

PHIS = (0, 0.1, 0.37, 0.5, 1)
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (7, 2, 3), (1, 2, 0), (4, 4, 0)])
def test_a_strided_convolution_divides_by_phi(spatial_dims: int, kernel: int, stride: int, padding: int) -> None:
    conv = CONVS[spatial_dims](2, 3, kernel, stride, padding)
    resizing = resizing_convolution(conv, StridedResize(spatial_dims, stride))
    exponent = {2: 1, 4: 2}[stride]
    for phi in PHIS:
        for sizes in ((1, 1, 1), (7, 13, 5), (16, 8, 12)):
            with rescaling_factor(phi):
                y = resizing(torch.randn(2, 2, *sizes[:spatial_dims]))
            assert y.shape == (2, 3, *rescaled_size(sizes[:spatial_dims], phi**exponent))
    assert resizing.weight is conv.weight and resizing.bias is conv.bias


@pytest.mark.parametrize("stride", [2, 3, 4, 5])
def test_one_half_is_the_stride_itself(stride: int) -> None:
    conv = nn.Conv2d(2, 3, 3, stride, 1, groups=1, bias=False, padding_mode="circular")
    x = torch.randn(2, 2, 4 * stride, 3 * stride)
    with rescaling_factor(0.5):
        y = resizing_convolution(conv, StridedResize(2, stride))(x)
    torch.testing.assert_close(y, conv(x), atol=0, rtol=0)


def test_an_axis_of_stride_one_keeps_its_size() -> None:
    resize = StridedResize(3, (1, 2, 4), level=1)
    for factors, sizes in (([0.1, 0.5], (7, 10, 12)), ([1.0, 0.0], (7, 2, 4))):
        with rescaling_factor(factors):
            assert resize(torch.zeros(1, 1, 7, 9, 11)).shape == (1, 1, *sizes)


def test_the_resize_needs_a_factor_and_can_be_fixed() -> None:
    resize = StridedResize(2, 2, rounding="floor", mode="nearest")
    with pytest.raises(PhiError):
        resize(torch.zeros(1, 1, 7, 7))
    resize.fix(0.5)
    assert resize(torch.zeros(1, 1, 7, 7)).shape == (1, 1, 6, 6)
    assert "stride=(2, 2)" in repr(resize) and "floor" in repr(resize) and "phi=0.5" in repr(resize)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_of_a_constant_map_go_through(dtype: torch.dtype) -> None:
    x = torch.full((1, 2, 9, 5), 0.75, dtype=dtype)
    pool = ResizedPool(StridedResize(2, 2), nn.MaxPool2d(2))
    deconv = nn.ConvTranspose2d(2, 1, 2, 2, dtype=dtype)
    for phi in PHIS:
        with rescaling_factor(phi):
            pooled = pool(x)
        assert pooled.dtype == dtype
        torch.testing.assert_close(pooled.float(), torch.full(pooled.shape, 0.75), atol=1e-6, rtol=0)
        up = LearnedUpSample({"conv": deconv}, "bilinear")(pooled, x)
        # Every voxel of a transposed convolution without overlap is one tap; their order is that of the kernel.
        assert up.shape == (1, 1, 9, 5) and up.dtype == dtype
        taps = (deconv.weight.sum(0) * 0.75 + deconv.bias).float()
        assert up.float().min() >= taps.min() - 0.02 and up.float().max() <= taps.max() + 0.02


def test_learned_up_sampling_is_exact_where_the_factor_is() -> None:
    deconv = nn.ConvTranspose3d(2, 4, 2, 2)
    up = LearnedUpSample({"deconv": deconv}, "trilinear", nn.ReLU())
    x = torch.randn(1, 2, 3, 4, 5)
    torch.testing.assert_close(up(x, torch.zeros(1, 1, 6, 8, 10)), deconv(x).relu(), atol=0, rtol=0)
    assert up(x, torch.zeros(1, 1, 5, 8, 11)).shape == (1, 4, 5, 8, 11)
    assert list(up.state_dict()) == ["deconv.weight", "deconv.bias"]


@pytest.mark.parametrize(
    "upsample",
    [
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Upsample(scale_factor=2, mode="bicubic", align_corners=False),
        nn.Upsample(scale_factor=2, mode="nearest"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_interpolated_up_sampling_is_exact_where_the_factor_is(upsample: nn.Upsample) -> None:
    preconv = nn.Conv2d(2, 3, 1)
    up = InterpolatedUpSample(upsample, preconv)
    x = torch.randn(1, 2, 3, 4)
    expected = upsample(preconv(x))
    for module in (up, torch.jit.script(up)):
        torch.testing.assert_close(module(x, torch.zeros(1, 1, 6, 8)), expected, atol=1e-6, rtol=0)
        assert module(x, torch.zeros(1, 1, 5, 11)).shape == (1, 3, 5, 11)
