from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks import ScaleSpaceNetwork, ScaleSpaceUNet
from monai_hyperscale.networks.layers import (
    VariableResize,
    as_factors,
    current_factor,
    rescaled_size,
    rescaling_factor,
)
from tests.networks.comparisons import tensors


def test_resize_layers_are_found_wherever_they_are() -> None:
    inner = nn.ModuleList([nn.Identity(), VariableResize(2, level=1)])
    network = ScaleSpaceNetwork(nn.Sequential(VariableResize(2), nn.Sequential(*inner)))
    assert network.levels == 2
    assert network(torch.zeros(1, 1, 20, 8), phi=[0.5, 0.2]).shape == (1, 1, 2, 1)
    plain = network.fold([0.5, 0.2])
    assert plain(torch.zeros(1, 1, 20, 8)).shape == (1, 1, 2, 1)
    assert network(torch.zeros(1, 1, 20, 8), phi=0.5).shape == (1, 1, 5, 2)


def test_without_resize_layers_phi_would_do_nothing() -> None:
    with pytest.raises(ValueError, match="no VariableResize"):
        ScaleSpaceNetwork(nn.Conv2d(1, 1, 3))
    with pytest.raises(PhiError, match="fold"):
        ScaleSpaceNetwork(VariableResize(2))(torch.zeros(1, 1, 4, 4))


def test_factor_ends_with_the_call_and_is_no_other_threads() -> None:
    network = ScaleSpaceNetwork(nn.Sequential(VariableResize(2), nn.Conv2d(3, 1, 1)))
    with pytest.raises(RuntimeError, match="3 channels"):
        network(torch.zeros(1, 1, 4, 4), phi=0.5)
    with rescaling_factor(0.5), ThreadPoolExecutor(1) as pool, pytest.raises(PhiError, match="no rescaling factor"):
        pool.submit(current_factor, 0).result()
    with pytest.raises(PhiError, match="no rescaling factor"):
        current_factor(0)


def test_one_network_inside_another_keeps_its_own_factor() -> None:
    seen = []

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resize = VariableResize(2)
            self.inner = [ScaleSpaceNetwork(VariableResize(2))]  # in a list: not a part of this network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(self.inner[0](x, phi=0.25).shape[-1])
            return self.resize(x)

    assert ScaleSpaceNetwork(Outer())(torch.zeros(1, 1, 8, 8), phi=0.5).shape[-1] == 4
    assert seen == [2]


def test_outer_factor_comes_back() -> None:
    with rescaling_factor(0.5):
        with pytest.raises(PhiError), rescaling_factor(2):
            pass
        with rescaling_factor([0.1, 0.2]):
            assert (current_factor(0), current_factor(1)) == (0.1, 0.2)
            with pytest.raises(PhiError, match="level 2"):
                current_factor(2)
        assert current_factor(3) == 0.5


class Sees(nn.Module):
    """Notes the sizes at which it is called, and returns what ``output`` makes of its maps."""

    def __init__(self, output: Any = None) -> None:
        super().__init__()
        self.resize = VariableResize(2, level=0)
        self.again = VariableResize(2, level=1)
        self.sizes: list[tuple[int, ...]] = []
        self.output = output

    def forward(self, x: torch.Tensor) -> Any:
        maps = self.resize(x)
        self.sizes = [tuple(value.shape[2:]) for value in (x, maps, self.again(maps))]
        return maps if self.output is None else self.output(maps)


@pytest.mark.parametrize(
    ("phi", "factors"),
    [
        (0.0, (0.0, 0.0, 0.0)),
        (0.1, (0.2, 0.1, 0.1)),
        (0.37, (0.74, 0.37, 0.37)),
        (0.5, (1.0, 0.5, 0.5)),
        (0.8, (1.0, 0.8, 0.8)),
        (1.0, (1.0, 1.0, 1.0)),
        ([0.3, 0.2, 0.9], (0.3, 0.2, 0.9)),
        ([0.25], (0.5, 0.25, 0.25)),
    ],
)
def test_input_factor(phi: Any, factors: tuple[float, ...]) -> None:
    body = Sees()
    network = ScaleSpaceNetwork(body, rescale_input=True)
    assert network.levels == 3 and network.rescale_input
    assert network.per_level(phi) == factors
    assert network.context["phi"].values(phi) == as_factors(phi)  # one stays one
    x = torch.randn(2, 1, 40, 23)
    assert network(x, phi=phi).shape == x.shape
    expected = [(40, 23)]
    for factor in factors:
        expected.append(rescaled_size(expected[-1], factor))
    assert body.sizes == expected[1:]
    plain: Any = network.fold(phi)
    torch.testing.assert_close(plain(x), network(x, phi=phi), atol=0, rtol=0)
    assert plain.body.sizes == expected[1:]


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_rescaled_input_is_resizing_around_the_network(spatial_dims: int, mode: str) -> None:
    options: dict[str, Any] = {"features": (4, 4, 4), "mode": mode}
    rescaling = ScaleSpaceUNet(spatial_dims, 2, 3, rescale_input=True, **options).eval()
    network = ScaleSpaceUNet(spatial_dims, 2, 3, **options).eval()
    network.load_state_dict(rescaling.state_dict())  # the same keys
    torch_mode: dict[str, Any] = {"mode": "nearest-exact"}
    if mode == "linear":
        torch_mode = {"mode": "bilinear" if spatial_dims == 2 else "trilinear", "align_corners": False}
    x = torch.randn((2, 2, 23, 18, 11)[: 2 + spatial_dims])
    with torch.no_grad():
        for first, others in ((0.3, [0.4, 0.6]), (0.0, [0.2, 0.2]), (0.61, [0.5, 0.5])):
            small = F.interpolate(x, size=rescaled_size(x.shape[2:], first), **torch_mode)
            expected = F.interpolate(network(small, phi=others), size=x.shape[2:], **torch_mode)
            torch.testing.assert_close(rescaling(x, phi=[first, *others]), expected, atol=1e-6, rtol=0)
        for phi in (0.5, 0.8, 1.0):  # the whole image
            torch.testing.assert_close(rescaling(x, phi=phi), network(x, phi=phi), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("output", "shapes"),
    [
        (lambda maps: [maps, maps[..., :1, :1]], [(2, 3, 13, 8)] * 2),  # deep supervision
        (lambda maps: torch.stack([maps, maps + 1, maps], dim=1), [(2, 3, 3, 13, 8)]),  # as DynUNet stacks it
        (lambda maps: maps.mean(dim=(2, 3)), [(2, 3)]),  # class scores
    ],
)
def test_outputs_of_every_kind_come_back_to_the_image(output: Any, shapes: list[tuple[int, ...]]) -> None:
    x = torch.randn(2, 3, 13, 8)
    network = ScaleSpaceNetwork(Sees(output), rescale_input=True)
    for y in (network(x, phi=0.2), network.fold(0.2)(x)):
        assert [tuple(maps.shape) for maps in tensors(y)] == shapes
    if x.dim() < (maps := tensors(y)[0]).dim():  # stacked maps are resized each by itself
        torch.testing.assert_close(maps[:, 0] + 1, maps[:, 1], atol=1e-6, rtol=0)
