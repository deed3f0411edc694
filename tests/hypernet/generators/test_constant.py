from __future__ import annotations

import copy

import torch
import torch.nn as nn

from monai_hyperscale.hypernet import ConstantGenerator, HyperNetwork
from monai_hyperscale.networks import ScaleSpaceUNet


def test_is_the_primary_network_at_every_phi() -> None:
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4))
    plain = copy.deepcopy(primary)
    net = HyperNetwork(primary, ConstantGenerator())
    x = torch.randn(2, 1, 13, 8)
    for phi in (0, 0.1, 0.37, 0.5, 1):
        torch.testing.assert_close(net(x, phi=phi), plain(x, phi=phi), atol=0, rtol=0)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in plain.parameters())


def test_trains_as_the_plain_network_does() -> None:
    # The baselines Stochastic and Fixed are the plain network, to the bit but for the order of sums.
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4))
    plain = copy.deepcopy(primary)
    net = HyperNetwork(primary, ConstantGenerator())
    x = torch.randn(2, 1, 16, 16)
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.9, 0.99)) for module in (net, plain)]
    for phi in (0.1, 0.5, 0.3):
        for module, optimizer in zip((net, plain), optimizers, strict=True):
            optimizer.zero_grad()
            module(x, phi=phi).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(net(x, phi=0.2), plain(x, phi=0.2), atol=1e-4, rtol=1e-3)


def test_gradient_with_respect_to_phi_is_none() -> None:
    generator = ConstantGenerator()
    generator.bind({"weight": torch.randn(2, 3)})
    context = torch.tensor([0.3], requires_grad=True)
    generator(context)["weight"].sum().backward()
    assert context.grad is None


def test_folds_of_different_phi_have_equal_weights() -> None:
    net = HyperNetwork(nn.Conv2d(1, 2, 3), ConstantGenerator())
    for one, other in zip(net.fold(0.1).parameters(), net.fold(0.9).parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
