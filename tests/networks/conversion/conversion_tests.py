"""The tests that every converted network passes, beside those of every φ-network: it is its original at φ = 0.5."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_hyperscale.errors import ConversionError
from monai_hyperscale.networks.conversion import RescalableNetwork, rescalable
from monai_hyperscale.search import count_flops
from tests.networks.comparisons import assert_same
from tests.networks.network_tests import ODD, PhiNetworkTests

# Groups of four: of two channels and one voxel only a sign is left, which the last bit of the values decides.
GROUP = ("group", {"num_groups": 1})


class ConversionTests(PhiNetworkTests):
    """What holds for every network made by ``rescalable``; a subclass implements :meth:`original`."""

    #: Passed on to ``rescalable``.
    norm = "refuse"
    #: ONNX by one of the two; BasicUNet has both.
    exporters: tuple[str, ...] = ("torchscript",)
    #: Sizes that the strides of the network divide.
    divided: dict[int, tuple[int, ...]] = {2: (64, 32), 3: (32, 16, 16)}
    #: Cost at φ = 0.5 over that of the original.
    cost = 1.0

    def original(self, spatial_dims: int) -> nn.Module:
        """Return a small network of MONAI's with ``in_channels`` input channels and no dropout."""
        raise NotImplementedError

    def network(self, spatial_dims: int) -> RescalableNetwork:
        return rescalable(self.original(spatial_dims), norm=self.norm)

    def disturbed(self, spatial_dims: int) -> nn.Module:
        """Return the original with random values in all its parameters, norms and biases included."""
        network = self.original(spatial_dims).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return network

    def test_is_the_original_at_a_half(self, spatial_dims: int) -> None:
        original = self.disturbed(spatial_dims)
        before = {name: value.clone() for name, value in original.state_dict().items()}
        network = rescalable(original, norm=self.norm)
        x = self.images(self.divided[spatial_dims], batch=2)
        original.train(self.training), network.train(self.training)
        with torch.no_grad():
            expected = original(x) if self.norm == "refuse" else normed(original, self.norm)(x)
            assert_same(network(x, phi=0.5), expected, 1e-4)
        # It was copied, not changed.
        assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())

    def test_costs_what_the_original_costs(self, spatial_dims: int) -> None:
        original, network = self.original(spatial_dims).eval(), self.network(spatial_dims)
        x = self.images(self.divided[spatial_dims])
        cost = count_flops(network.fold(0.5), x) / count_flops(original, x)
        assert abs(cost - self.cost) < 0.01 and abs(cost - 1) <= 0.25
        assert count_flops(network.fold(0.2), x) < count_flops(network.fold(0.5), x)

    def test_input_factor(self, spatial_dims: int) -> None:
        original = self.original(spatial_dims)
        network = rescalable(original, norm=self.norm, rescale_input=True).train(self.training)
        plain = rescalable(original, norm=self.norm).train(self.training)
        assert network.levels == plain.levels + 1
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            assert_same(network(x, phi=(1.0, *[0.3] * plain.levels)), plain(x, phi=0.3), 1e-5)
            self.check_output(x, network(x, phi=0.3))

    def test_weights_carry_over(self, spatial_dims: int) -> None:
        trained, network = self.disturbed(spatial_dims), self.network(spatial_dims)
        state, body = trained.state_dict(), network.body.state_dict()
        assert set(body) <= set(state)
        report = network.load_weights_from(state)
        assert not report.fresh
        assert {*report.reused, *report.adapted} == set(body)
        # Nothing of the source is passed over in silence.
        assert set(state) == {*body, *report.unused}
        loaded: Any = network.body.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in loaded.items())

    def test_batch_norm_is_refused_by_name_unless_it_is_to_be_replaced(self) -> None:
        original = self.original(self.dimensions[0])
        batch = [re.escape(name) for name, module in original.named_modules() if isinstance(module, _BatchNorm)]
        assert bool(batch) == (self.norm != "refuse")
        if batch:
            assert_refused(original, rf"({'|'.join(batch)}) \(BatchNorm.d\): its running statistics .*norm='group'")
            for norm in ("group", "instance"):
                network = rescalable(original, norm=norm)
                assert not any(isinstance(module, _BatchNorm) for module in network.modules())
                assert "BatchNorm" in str(network.report)


def assert_converts(
    original: nn.Module, sizes: tuple[int, ...], norm: str = "refuse", script: bool = False
) -> RescalableNetwork:
    """Check that a network is converted to one that is the same at φ = 0.5 and runs at any size and φ, and return it.

    Its norms are replaced in place where ``norm`` says so; ``sizes`` are some that its strides divide.
    """
    network = rescalable(original.eval(), norm=norm)
    if norm != "refuse":
        normed(original, norm)
    channels = next(module.in_channels for module in original.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d)))
    x, odd = torch.randn(2, channels, *sizes), torch.randn(2, channels, *(17, 1, 7)[: len(sizes)])
    with torch.no_grad():
        assert_same(network(x, phi=0.5), original(x), 1e-4)
        for phi in (0, 0.1, 0.37, 1):
            y = network(odd, phi=phi)
            assert y.isfinite().all() and (y.dim() == 2 or y.shape[2:] == odd.shape[2:])
        if script:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                scripted = torch.jit.script(network.fold(0.37).eval())
            assert_same(scripted(odd), network(odd, phi=0.37), 1e-4)
    levels = [item.level for item in network.report.replaced if item.level is not None]
    assert levels == sorted(levels) and set(levels) == set(range(network.levels))  # in the network's order
    return network


def normed(network: nn.Module, kind: str) -> nn.Module:
    """Return the network with torch's own group or instance normalisation in place of batch normalisation, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                channels = child.num_features
                groups = channels if kind == "instance" else max(1, channels // 4)
                norm = nn.GroupNorm(groups, channels, eps=child.eps)
                norm.load_state_dict({"weight": child.weight, "bias": child.bias})
                setattr(module, name, norm)
    return network


def assert_refused(network: nn.Module, match: str, **options: Any) -> None:
    """Check that a network is refused with one sentence that names the module and the reason."""
    with pytest.raises(ConversionError, match=match) as raised:
        rescalable(network, **options)
    text = str(raised.value)
    assert text.startswith(type(network).__name__) and "\n" not in text and text.endswith(".")
