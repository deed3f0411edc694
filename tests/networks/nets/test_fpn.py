from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks import ScaleSpaceFPN
from tests.networks.network_tests import PhiNetworkTests, both_dimensions


class TestFPN(PhiNetworkTests):
    gradient_size = {2: (24, 24), 3: (12, 12, 12)}

    def network(self, spatial_dims: int) -> nn.Module:
        return ScaleSpaceFPN(spatial_dims, self.in_channels, 3, features=(4, 6, 8), deep_supervision=True)


def test_deep_supervision_adds_no_weights() -> None:
    # So a checkpoint fits either way.
    network = ScaleSpaceFPN(2, 1, 3, features=(4, 4, 8), deep_supervision=True)
    plain = ScaleSpaceFPN(2, 1, 3, features=(4, 4, 8))
    plain.load_state_dict(network.state_dict())
    x = torch.randn(2, 1, 11, 7)
    with torch.no_grad():
        logits = network.train()(x, phi=0.3)
        assert [maps.shape for maps in logits] == [(2, 3, 11, 7)] * 3
        assert (logits[0] - logits[1]).abs().max() > 1e-3
        torch.testing.assert_close(plain.train()(x, phi=0.3), logits[0], atol=0, rtol=0)


@both_dimensions
def test_finest_prediction_is_the_sum_of_all_resolutions(spatial_dims: int) -> None:
    network = ScaleSpaceFPN(spatial_dims, 1, 3, features=(4, 6, 8), decoder_features=5, deep_supervision=True)
    body = network.body
    mode = "bilinear" if spatial_dims == 2 else "trilinear"
    pool = F.avg_pool2d if spatial_dims == 2 else F.avg_pool3d
    x = torch.randn((1, 1, 16, 8, 12)[: 2 + spatial_dims])
    with torch.no_grad():
        maps = [body.encoder[0](x)]
        for stage in body.encoder[1:]:
            maps.append(stage(pool(maps[-1], 2)))
        inner = logits = torch.zeros(1, 1, *[1] * spatial_dims)  # nothing comes from below the coarsest level
        expected = []
        for level in (2, 1, 0):
            size = maps[level].shape[2:]
            inner = F.interpolate(inner, size=size, mode=mode, align_corners=False)
            inner = inner + body.pyramid.inner_blocks[level](maps[level])
            logits = F.interpolate(logits, size=size, mode=mode, align_corners=False)
            logits = logits + body.heads[level](body.pyramid.layer_blocks[level](inner))
            expected.insert(0, F.interpolate(logits, size=x.shape[2:], mode=mode, align_corners=False))
        for maps_, reference in zip(network(x, phi=0.5), expected, strict=True):
            torch.testing.assert_close(maps_, reference, atol=1e-4, rtol=1e-4)
