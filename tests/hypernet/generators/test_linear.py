from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn as nn

from monai_hyperscale.hypernet import HyperNetwork, IdentityEncoding, LinearGenerator


@pytest.mark.parametrize("width", [1, 3])
def test_values(width: int) -> None:
    start = {"weight": torch.randn(5, 4, 3, 3), "bias": torch.randn(5)}
    generator = LinearGenerator(head_scale=1.0)
    generator.bind(start, width)
    context = torch.rand(width)
    flat = torch.cat([value.flatten() for value in start.values()]).double().numpy()
    expected = flat + context.double().numpy() @ generator.heads.detach().double().numpy()
    generated = torch.cat([value.flatten() for value in generator(context).values()]).detach()
    np.testing.assert_allclose(generated.numpy(), expected, atol=1e-6)


def test_is_the_linear_layer_of_san() -> None:
    # SAN section 3.1: a kernel is the output of a linear layer whose input is ε = 0.1·S/32.
    generator = LinearGenerator(encoding=IdentityEncoding(scale=0.1 / 32), head_scale=1.0)
    net = HyperNetwork(nn.Conv2d(2, 3, 3, bias=False), generator)
    learner = nn.Linear(1, 3 * 2 * 9)
    with torch.no_grad():
        learner.weight.copy_(generator.heads.t())
        learner.bias.copy_(generator.base)
    x = torch.randn(1, 2, 7, 7)
    for size in (96, 160, 224):
        kernel = learner(torch.tensor([0.1 * size / 32])).view(3, 2, 3, 3)
        torch.testing.assert_close(net(x, phi=size), nn.functional.conv2d(x, kernel), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("width", "encoding", "times"), [(1, "identity", 2), (4, "identity", 5), (1, "complement", 3)])
def test_size(width: int, encoding: str, times: int) -> None:
    generator = LinearGenerator(encoding=encoding)
    generator.bind({"weight": torch.randn(10, 10)}, width)
    assert sum(parameter.numel() for parameter in generator.parameters()) == times * 100


def test_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="'identity'"):
        LinearGenerator(encoding="fourier")
