from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet

from monai_hyperscale.hypernet import HyperNetwork
from tests.hypernet.examples import TwoInputs, strong
from tests.networks.comparisons import copy_of
from tests.networks.references import assert_plain, assert_shares_nothing

FEATURES = (4, 4, 4, 4, 4, 4)
# Networks that know nothing of φ: how to build one, what to generate, and an input.
NETWORKS: dict[str, tuple[Any, Any, Any]] = {
    "linear": (lambda: nn.Linear(5, 3), "all", lambda: (torch.randn(4, 5),)),
    "one dimension": (lambda: nn.Conv1d(2, 3, 3), "convolutions", lambda: (torch.randn(2, 2, 9),)),
    "transposed": (lambda: nn.ConvTranspose3d(2, 3, 2, 2), "convolutions", lambda: (torch.randn(2, 2, 3, 4, 5),)),
    "MONAI 2D": (lambda: BasicUNet(2, 1, 2, FEATURES), "convolutions", lambda: (torch.randn(1, 1, 32, 32),)),
    "MONAI 3D": (
        lambda: BasicUNet(3, 1, 2, FEATURES, norm="batch"),
        "all",
        lambda: (torch.randn(2, 1, 16, 16, 16),),
    ),
    "two inputs": (TwoInputs, "convolutions", lambda: (torch.randn(2, 1, 6, 6), torch.randn(2, 2, 6, 6))),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), "weight", lambda: (torch.randn(5, 2), torch.randn(5, 3))),
    "attention": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
        "all",
        lambda: (torch.randn(2, 5, 8),),
    ),
    "embedding": (lambda: nn.Embedding(7, 3), "all", lambda: (torch.arange(6).view(2, 3),)),
    "parameter containers": (lambda: Listed(), "all", lambda: (torch.randn(2, 3),)),
}


class Listed(nn.Module):
    """Parameters in containers; its ``factors`` and ``fold`` are not those of a φ-network."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.ParameterList([torch.randn(3, 3) for _ in range(2)])
        self.named = nn.ParameterDict({"shift": torch.randn(3)})
        self.fold = nn.Fold(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for factor in self.factors:
            x = x @ factor
        return x + self.named["shift"]


def first_tensor(output: Any) -> torch.Tensor:
    return output["sum"] if isinstance(output, dict) else output


@pytest.mark.parametrize("name", NETWORKS)
class TestAnyModule:
    def hypernetwork(self, name: str) -> tuple[HyperNetwork, Any]:
        build, select, inputs = NETWORKS[name]
        return HyperNetwork(build(), strong(), select=select).eval(), inputs()

    def test_equals_fold_and_functional_call(self, name: str) -> None:
        net, args = self.hypernetwork(name)
        original = NETWORKS[name][0]().eval()
        results = []
        for phi in (0.0, 0.3, 1.0):
            plain = net.fold(phi)
            assert type(plain) is type(original)
            assert_plain(plain)
            assert_shares_nothing(plain, net)
            with torch.no_grad():
                y = first_tensor(net(*args, phi=phi))
                torch.testing.assert_close(first_tensor(plain(*args)), y, atol=1e-5, rtol=1e-5)
                # Torch's own way of running a module with other weights.
                others = {key: value for key, value in net.primary.state_dict().items() if key not in net.generated}
                called = torch.func.functional_call(original, {**others, **net.generate(phi)}, args)
                torch.testing.assert_close(first_tensor(called), y, atol=1e-5, rtol=1e-5)
                original.load_state_dict(plain.state_dict())
                torch.testing.assert_close(first_tensor(original(*args)), y, atol=1e-5, rtol=1e-5)
            results.append(y)
        for one, other in pairwise(results):
            assert (one - other).abs().max() > 1e-3

    def test_gradient_equals_that_of_the_fold(self, name: str) -> None:
        net, args = self.hypernetwork(name)
        net.train()
        plain = net.fold(0.3).train()
        generated = net.generate(0.3)
        first_tensor(plain(*args)).sum().backward()
        by_hand = torch.autograd.grad(
            list(generated.values()),
            list(net.generator.parameters()),
            [plain.get_parameter(key).grad for key in generated],
        )
        first_tensor(net(*args, phi=0.3)).sum().backward()
        for parameter, expected in zip(net.generator.parameters(), by_hand, strict=True):
            torch.testing.assert_close(parameter.grad, expected, atol=1e-4, rtol=1e-4)
        for key, parameter in net.primary.named_parameters():
            torch.testing.assert_close(parameter.grad, plain.get_parameter(key).grad, atol=1e-4, rtol=1e-4)

    def test_copies(self, name: str) -> None:
        net, args = self.hypernetwork(name)
        for how in ("deepcopy", "pickle"):
            copied = copy_of(net, how)
            with torch.no_grad():
                expected = first_tensor(net(*args, phi=0.3))
                torch.testing.assert_close(first_tensor(copied(*args, phi=0.3)), expected, atol=0, rtol=0)
            assert_shares_nothing(copied, net)
