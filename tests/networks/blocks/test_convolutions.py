from __future__ import annotations

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks.blocks import ConvolutionStage

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_values(spatial_dims: int) -> None:
    stage = ConvolutionStage(spatial_dims, 2, 8)
    x = torch.randn((2, 2) + (6,) * spatial_dims)
    weights = stage.state_dict()
    expected = x
    for index in range(2):
        conv = (weights[f"conv{index}.weight"], weights[f"conv{index}.bias"])
        norm = (weights[f"norm{index}.weight"], weights[f"norm{index}.bias"])
        expected = F.leaky_relu(F.group_norm(CONV[spatial_dims](expected, *conv, padding=1), 2, *norm), 0.01)
    torch.testing.assert_close(stage(x), expected)


def test_kaiming_initialisation() -> None:
    stage = ConvolutionStage(2, 64, 64, norm=None)
    for conv in (layer for layer in stage if isinstance(layer, nn.Conv2d)):
        assert conv.bias is not None and not conv.bias.any()
        assert conv.weight.detach().std().item() == pytest.approx((2 / (1 + 0.01**2) / (64 * 9)) ** 0.5, rel=0.02)
    # So two convolutions without normalisation leave the signal about as large as it came.
    with torch.no_grad():
        assert 0.3 < stage(torch.randn(1, 64, 32, 32)).square().mean() < 1


def test_layers() -> None:
    assert not any(isinstance(layer, nn.GroupNorm) for layer in ConvolutionStage(2, 1, 4, norm=None))
    stage = ConvolutionStage(3, 1, 4, act="relu", dropout=0.2)
    assert [type(layer).__name__ for layer in stage] == ["Conv3d", "GuardedGroupNorm", "ReLU", "Dropout3d"] * 2
