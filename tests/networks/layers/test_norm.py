from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.networks.layers import normalization
from monai_hyperscale.networks.layers.norm import GuardedGroupNorm

INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def randomized(norm: Any) -> Any:
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("kind", ["group", "instance"])
@pytest.mark.parametrize("sizes", [(7,), (4, 5), (3, 1, 2), (1, 2), (1, 1), (1, 1, 1)])
def test_the_same_as_torchs(sizes: tuple[int, ...], kind: str) -> None:
    if kind == "instance" and max(sizes) == 1:
        pytest.skip("torch's own does not take one voxel: see the next test")
    ours = randomized(normalization(kind, 8))
    theirs = nn.GroupNorm(2, 8) if kind == "group" else INSTANCE[len(sizes)](8, affine=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 8, *sizes) * 5 + 2
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_instance_at_one_voxel(batch: int, spatial_dims: int) -> None:
    norm = randomized(normalization("instance", 6)).train()
    x = torch.randn((batch, 6) + (1,) * spatial_dims, requires_grad=True)
    if batch == 1:
        with pytest.raises(ValueError, match="Expected more than 1"):  # why the guard is there
            nn.GroupNorm(6, 6)(x)
    y = norm(x)
    expected = x.flatten(1) * norm.weight + norm.bias
    torch.testing.assert_close(y.flatten(1), expected)
    y.sum().backward()
    assert x.grad is not None and (x.grad != 0).all()


def test_one_voxel_without_scale_and_shift() -> None:
    x = torch.randn(1, 4, 1, 1)
    torch.testing.assert_close(normalization(("instance", {"affine": False}), 4)(x), x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_guard_survives_scripting() -> None:
    norm = normalization("instance", 3)
    scripted = torch.jit.script(norm)
    for x in (torch.randn(1, 3, 1, 1), torch.randn(2, 3, 4, 5)):
        torch.testing.assert_close(scripted(x), norm(x))


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (3, 1), (4, 1), (6, 1), (8, 2), (10, 2), (32, 8), (36, 9)])
def test_default_groups(channels: int, groups: int) -> None:
    norm: Any = normalization("group", channels)
    assert norm.num_groups == groups
    assert norm(torch.randn(2, channels, 3, 3)).isfinite().all()


def test_options() -> None:
    norm: Any = normalization(("GROUP", {"num_groups": 3, "eps": 1e-3, "affine": False}), 6)
    assert isinstance(norm, GuardedGroupNorm)
    assert (norm.num_groups, norm.eps, norm.affine) == (3, 1e-3, False)
    x = torch.randn(1, 6, 2)
    assert normalization(None, 6)(x) is x


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ("batch", "running statistics"),
        ("BATCH", "running statistics"),
        ("layer", "norm must be"),
        (("group", {"num_groups": 4}), "num_groups must divide"),
        (("group", {"num_groups": 0}), "num_groups must divide"),
    ],
)
def test_refusals(norm: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalization(norm, 6)
