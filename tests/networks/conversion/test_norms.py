from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.networks.conversion.norms import convert_norm


def randomized(norm: Any) -> Any:
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    return norm


@pytest.mark.parametrize(
    "norm",
    [
        nn.InstanceNorm2d(6, affine=True),
        nn.InstanceNorm2d(6),
        nn.GroupNorm(3, 6),
        nn.GroupNorm(3, 6, affine=False, eps=0.1),
    ],
    ids=str,
)
def test_instance_and_group_norm_compute_what_they_did(norm: Any) -> None:
    converted = convert_norm(randomized(norm), "refuse", ValueError)
    assert converted.how is None and not converted.adapted and not converted.dropped
    x = torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(converted.module(x), norm(x), atol=1e-5, rtol=0)
    assert list(converted.module.state_dict()) == list(norm.state_dict())
    single = torch.randn(2, 6, 1, 1)
    assert converted.module.train()(single).isfinite().all()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False), nn.BatchNorm3d(8)], ids=str)
@pytest.mark.parametrize(("kind", "groups"), [("group", 2), ("instance", 8)])
def test_batch_norm_is_replaced(norm: Any, kind: str, groups: int) -> None:
    converted: Any = convert_norm(randomized(norm), kind, ValueError)
    assert converted.module.num_groups == groups and converted.module.eps == norm.eps
    assert set(converted.dropped) == {"running_mean", "running_var", "num_batches_tracked"}
    assert converted.adapted == (("weight", "bias") if norm.affine else ())
    assert converted.module.weight is norm.weight and kind in converted.how


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False), nn.SyncBatchNorm(4)]
    + [nn.InstanceNorm2d(4, track_running_stats=True)],
    ids=str,
)
def test_running_statistics_are_refused(norm: Any) -> None:
    with pytest.raises(ValueError, match="norm='group'"):
        convert_norm(norm, "refuse", ValueError)


@pytest.mark.parametrize("norm", [nn.LayerNorm((4, 8, 8)), nn.LocalResponseNorm(2)], ids=str)
@pytest.mark.parametrize("kind", ["refuse", "group", "instance"])
def test_others_are_refused(norm: Any, kind: str) -> None:
    with pytest.raises(ValueError, match="group norm"):
        convert_norm(norm, kind, ValueError)
