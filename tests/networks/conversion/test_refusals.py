from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import BasicUNet
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from monai_hyperscale.networks.conversion import keeps, place, rescalable
from tests.networks.conversion.conversion_tests import assert_refused


def small() -> Any:
    return nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU())


def altered(change: Callable[[nn.Module], Any]) -> nn.Module:
    """Return a small network whose strided convolution was changed in place."""
    network = small()
    change(network[0])
    return network


def forward_replaced(module: nn.Module) -> None:
    plain = module.forward
    module.forward = lambda x: 2 * plain(x)  # type: ignore[method-assign]


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.register_forward_hook(lambda _m, _x, y: 2 * y), "it has a forward hook, .*remove the hook"),
        (lambda m: m.register_forward_pre_hook(lambda _m, x: x), "it has a forward pre-hook"),
        (lambda m: m.register_full_backward_hook(lambda *_: None), "it has a backward hook"),
        (lambda m: m.register_full_backward_pre_hook(lambda *_: None), "it has a backward pre-hook"),
        (forward_replaced, "its forward was replaced on this one instance"),
        (weight_norm, r"weight normalisation .*torch\.nn\.utils\.remove_weight_norm"),
        (spectral_norm, r"spectral normalisation .*torch\.nn\.utils\.remove_spectral_norm"),
        (lambda m: prune.random_unstructured(m, "weight", 1), r"pruning .*torch\.nn\.utils\.prune\.remove"),
    ],
    ids=["hook", "pre-hook", "backward", "backward-pre", "forward", "weight_norm", "spectral_norm", "prune"],
)
def test_an_altered_module_is_refused(change: Callable[[nn.Module], Any], told: str) -> None:
    assert_refused(altered(change), rf"0 \(Conv2d\): {told}")


def test_a_parametrization_is_refused() -> None:
    network = altered(parametrizations.spectral_norm)
    assert_refused(network, r"0 \(ParametrizedConv2d\): a parametrization .*remove_parametrizations")


def test_a_hook_on_a_layer_that_is_kept_and_on_the_network_itself() -> None:
    network: Any = BasicUNet(2, features=(4, 4, 4, 4, 4, 4))
    network.down_1.convs.register_forward_hook(lambda *_: None)
    assert_refused(network, r"down_1\.convs \(TwoConv\): it has a forward hook")
    outer = small()
    hook = outer.register_forward_hook(lambda *_: None)
    assert_refused(outer, r"the network \(Sequential\): it has a forward hook")
    hook.remove()
    assert rescalable(outer)(torch.zeros(1, 1, 9, 7), phi=0.3).shape == (1, 2, 3, 2)


def test_the_way_out_keeps_the_weights() -> None:
    network = altered(spectral_norm)
    network(torch.randn(1, 1, 8, 8))
    torch.nn.utils.remove_spectral_norm(network[0])  # type: ignore[index]
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(rescalable(network)(x, phi=0.5), network(x), atol=1e-6, rtol=0)


def test_what_is_not_made_yet_or_is_compiled_is_refused() -> None:
    assert_refused(nn.Sequential(nn.LazyConv2d(2, 3, 2, 1)), r"0 \(LazyConv2d\): .*run the network once")
    assert_refused(torch.compile(small()), "the network .OptimizedModule.: .*convert the network that was given")  # type: ignore[arg-type]


def test_a_norm_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_CONVERTERS", dict(place._CONVERTERS))

    class Doubled(nn.GroupNorm):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    network = nn.Sequential(*small(), Doubled(1, 2))
    assert_refused(network, r"2 \(Doubled\): this type is not known")
    keeps(Doubled)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(rescalable(network)(x, phi=0.5), network(x), atol=1e-6, rtol=0)
