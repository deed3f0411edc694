from __future__ import annotations

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks import ScaleSpaceNetwork
from monai_hyperscale.networks.layers import VariableResize, current_factor, rescaling_factor


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resize = VariableResize(2, level=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resize(x)


def test_resize_layers_are_found_wherever_they_are() -> None:
    network = ScaleSpaceNetwork(nn.Sequential(VariableResize(2), nn.Sequential(nn.Identity(), Nested())))
    assert network.levels == 2
    assert network(torch.zeros(1, 1, 20, 8), phi=[0.5, 0.2]).shape == (1, 1, 2, 1)
    plain = network.fold([0.5, 0.2])
    assert plain(torch.zeros(1, 1, 20, 8)).shape == (1, 1, 2, 1)
    assert network(torch.zeros(1, 1, 20, 8), phi=0.5).shape == (1, 1, 5, 2)


def test_without_resize_layers_phi_would_do_nothing() -> None:
    with pytest.raises(ValueError, match="no VariableResize"):
        ScaleSpaceNetwork(nn.Conv2d(1, 1, 3))


def test_phi_is_required() -> None:
    network = ScaleSpaceNetwork(VariableResize(2))
    with pytest.raises(PhiError, match="fold"):
        network(torch.zeros(1, 1, 4, 4))


def test_factor_ends_with_the_call() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.resize = VariableResize(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken on purpose")

    network = ScaleSpaceNetwork(Failing())
    with pytest.raises(RuntimeError, match="on purpose"):
        network(torch.zeros(1, 1, 4, 4), phi=0.5)
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
        with rescaling_factor([0.1, 0.2]):
            assert (current_factor(0), current_factor(1)) == (0.1, 0.2)
            with pytest.raises(PhiError, match="level 2"):
                current_factor(2)
        assert current_factor(3) == 0.5
