from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.networks.conversion import RescalableNetwork, rescalable
from tests.networks.conversion.conversion_tests import assert_refused


def randomized(norm: Any) -> Any:
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    return norm


def around(norm: nn.Module, channels: int = 8) -> nn.Sequential:
    conv: Any = nn.Conv3d if isinstance(norm, nn.BatchNorm3d) else nn.Conv2d
    return nn.Sequential(conv(1, channels, 3, 2, 1), norm)


def converted(norm: nn.Module, kind: str, channels: int = 8) -> tuple[RescalableNetwork, Any]:
    network = rescalable(around(randomized(norm), channels), norm=kind)
    return network, network.body.get_submodule("1")


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
    network, own = converted(norm, "refuse", channels=6)
    tensors = network.report.tensors
    assert [item.name for item in network.report.replaced] == ["0"] and not tensors.adapted and not tensors.unused
    x = torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(own(x), norm(x), atol=1e-5, rtol=0)
    assert list(own.state_dict()) == list(norm.state_dict())
    assert own.train()(torch.randn(2, 6, 1, 1)).isfinite().all()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False), nn.BatchNorm3d(8)], ids=str)
@pytest.mark.parametrize(("kind", "groups"), [("group", 2), ("instance", 8)])
def test_batch_norm_is_replaced(norm: Any, kind: str, groups: int) -> None:
    network, own = converted(norm, kind)
    assert own.num_groups == groups and own.eps == norm.eps
    assert set(network.report.tensors.unused) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert list(network.report.tensors.adapted) == (["1.weight", "1.bias"] if norm.affine else [])
    assert network.report.replaced[1].after.startswith(kind)
    if norm.affine:
        assert torch.equal(own.weight, norm.weight) and torch.equal(own.bias, norm.bias)


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(8), nn.BatchNorm2d(8, track_running_stats=False), nn.SyncBatchNorm(8)]
    + [nn.InstanceNorm2d(8, track_running_stats=True)],
    ids=str,
)
def test_running_statistics_are_refused(norm: Any) -> None:
    assert_refused(around(norm), r"1 \(.*Norm.*\): its running statistics .*norm='group'")


@pytest.mark.parametrize("norm", [nn.LayerNorm((8, 8, 8)), nn.LocalResponseNorm(2)], ids=str)
@pytest.mark.parametrize("kind", ["refuse", "group", "instance"])
def test_others_are_refused(norm: Any, kind: str) -> None:
    assert_refused(around(norm), "group norm", norm=kind)
