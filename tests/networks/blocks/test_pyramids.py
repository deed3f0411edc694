from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from monai.networks.blocks import FeaturePyramidNetwork

from monai_hyperscale.networks.blocks import FeaturePyramid, PyramidPooling
from monai_hyperscale.networks.blocks.pyramids import average_bins
from tests.networks.network_tests import both_dimensions


@pytest.mark.parametrize("sizes", [(1,), (13,), (1, 1), (7, 5), (12, 1), (1, 1, 1), (7, 12, 5), (3, 1, 11)], ids=str)
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_average_bins_is_adaptive_pooling(sizes: tuple[int, ...], bins: int, dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, *sizes, dtype=dtype)
    pool = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[len(sizes)]
    expected = pool(x, [min(bins, n) for n in sizes])
    tolerance = 1e-12 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(average_bins(x, bins), expected, atol=tolerance, rtol=tolerance)


@both_dimensions
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_pyramid_pooling_is_the_papers(spatial_dims: int, mode: str) -> None:
    block = PyramidPooling(spatial_dims, 8, bins=(1, 2, 3), norm=None, act="relu", mode=mode)
    x = torch.randn((2, 8, 11, 6, 7)[: 2 + spatial_dims])
    conv = F.conv2d if spatial_dims == 2 else F.conv3d
    pool = F.adaptive_avg_pool2d if spatial_dims == 2 else F.adaptive_avg_pool3d
    maps = [x]
    with torch.no_grad():
        state = block.state_dict()
        for index, bins in enumerate((1, 2, 3)):
            weight, bias = (state[f"branches.{index}.conv.{name}"] for name in ("weight", "bias"))
            assert weight.shape[:2] == (2, 8)
            y = F.relu(conv(pool(x, bins), weight, bias))
            if mode == "linear":
                torch_mode = "bilinear" if spatial_dims == 2 else "trilinear"
                maps.append(F.interpolate(y, size=x.shape[2:], mode=torch_mode, align_corners=False))
            else:
                maps.append(F.interpolate(y, size=x.shape[2:], mode="nearest-exact"))
        expected = F.relu(conv(torch.cat(maps, dim=1), state["fuse.conv.weight"], state["fuse.conv.bias"]))
        assert expected.max() > 0.1
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


@both_dimensions
def test_feature_pyramid_is_monais_where_sizes_double(spatial_dims: int) -> None:
    pyramid = FeaturePyramid(spatial_dims, in_channels=(4, 6, 8), out_channels=5, mode="nearest")
    reference = FeaturePyramidNetwork(spatial_dims, [4, 6, 8], 5)
    reference.load_state_dict(pyramid.state_dict())
    maps = [torch.randn((2, c) + (4 * s, 8 * s, 12 * s)[:spatial_dims]) for c, s in ((4, 4), (6, 2), (8, 1))]
    with torch.no_grad():
        expected = reference(OrderedDict((str(index), x) for index, x in enumerate(maps)))
        for y, other in zip(pyramid(maps), expected.values(), strict=True):
            torch.testing.assert_close(y, other, atol=1e-5, rtol=1e-5)
