from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.networks.blocks import Convolution, UpSample
from monai.networks.nets import BasicUNet, SwinUNETR
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.networks.conversion import converts, keeps, place, rescalable
from tests.networks.conversion.conversion_tests import assert_refused

FEATURES = (4, 4, 4, 4, 4, 4)


class Hidden(nn.Module):
    """Resamples where no module shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(self.conv(x), 2)


class Doubled(BasicUNet):
    """Runs otherwise than the network that it inherits from."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.interpolate(x, scale_factor=2))


def small() -> Any:
    return nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU())


def of_fixed_size() -> nn.Module:
    network: Any = BasicUNet(2, features=FEATURES, upsample="nontrainable")
    network.upcat_4.upsample.upsample_non_trainable = nn.Upsample(size=(4, 4))
    return network


@pytest.fixture(autouse=True)
def register() -> Any:
    before = dict(place._CONVERTERS)
    yield
    place._CONVERTERS.clear()
    place._CONVERTERS.update(before)


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (Hidden(), r"the network \(Hidden\): this type is not known"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), Hidden()), r"1 \(Hidden\): this type is not known"),
        (Doubled(2, features=FEATURES), r"the network \(Doubled\): this type is not known"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.ConvTranspose2d(1, 1, 2, 2)), r"1 \(ConvTranspose2d\): the size that"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), UpSample(2, 1, 1)), r"1 \(UpSample\): the size that"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Upsample(scale_factor=2)), r"1 \(Upsample\): this type is not known"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, stride=2)), r"0 \(Conv2d\): with kernel 3, stride 2 and padding 0"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(3, 2, 1, ceil_mode=True)), r"1 \(MaxPool2d\): with kernel 3"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.FractionalMaxPool2d(2, output_ratio=0.5)), r"1 \(FractionalMaxPool2d\)"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.PixelUnshuffle(2)), r"1 \(PixelUnshuffle\): this type is not known"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.LayerNorm(4), nn.MaxPool2d(2)), r"1 \(LayerNorm\): it normalises"),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), "no strided layer"),
        (nn.ReLU(), "no convolution"),
        (SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=2), r"the network \(SwinUNETR\)"),
        (
            BasicUNet(2, features=FEATURES, norm="batch"),
            r"conv_0\.conv_0\.adn\.N \(BatchNorm2d\): its running statistics",
        ),
        (of_fixed_size(), r"upcat_4\.upsample \(UpSample\): .*fixed size \(4, 4\)"),
        (nn.Sequential(nn.LazyConv2d(2, 3, 2, 1)), r"0 \(LazyConv2d\): .*run the network once"),
        (torch.compile(small()), "the network .OptimizedModule.: .*convert the network that was given"),
        (ScaleSpaceUNet(2, 1, 2, features=(4, 4)), "goes by phi already"),
        (rescalable(BasicUNet(2, features=FEATURES)), "goes by phi already"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_converted_is_refused(network: nn.Module, match: str) -> None:
    before = repr(network)
    assert_refused(network, match)
    assert repr(network) == before


def test_a_converter_that_forgets_a_layer_is_found_out() -> None:
    converts(Hidden)(lambda place: place.module)
    network = nn.Sequential(nn.MaxPool2d(2), Hidden())
    network[1].conv = nn.Conv2d(1, 1, 3, stride=2, padding=1)  # type: ignore[assignment]
    assert_refused(network, r"1\.conv \(Conv2d\): it was left as it is")
    network[1].conv = nn.BatchNorm2d(1)  # type: ignore[assignment]
    network.append(nn.Conv2d(1, 1, 1))
    assert_refused(network, r"1\.conv \(BatchNorm2d\): it was left as it is", norm="group")


def test_types_of_ones_own() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = Convolution(2, 1, 2, strides=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    assert_refused(Stem(), "say how to convert it with @converts")
    keeps(Stem)
    network, x = Stem().eval(), torch.randn(1, 1, 8, 8)
    converted = rescalable(network).eval()
    torch.testing.assert_close(converted(x, phi=0.5), network(x), atol=1e-5, rtol=0)
    assert converted(x, phi=0.25).shape == (1, 2, 2, 2)


def test_a_network_inside_others() -> None:
    unet = BasicUNet(2, 1, 2, features=FEATURES)
    inner = nn.Sequential(nn.Sequential(unet), nn.Softmax(dim=1)).eval()
    network = rescalable(inner).eval()
    x = torch.randn(1, 1, 32, 16)
    torch.testing.assert_close(network(x, phi=0.5), inner(x), atol=1e-5, rtol=0)
    assert network(x[..., :13], phi=0.3).shape == (1, 2, 32, 13)
    assert "0.0.down_1.max_pooling (level 0)" in str(network.report)


def test_options_reach_the_layers() -> None:
    network: Any = rescalable(BasicUNet(2, features=FEATURES), mode="nearest", rounding="floor")
    resizes = network._resizes(network.body)
    assert len(resizes) == 4 and {layer.level for layer in resizes} == {0, 1, 2, 3}
    assert {(layer.mode, layer.rounding) for layer in resizes} == {("nearest-exact", "floor")}
    for options in ({"norm": "batch"}, {"mode": "cubic"}, {"rounding": "up"}):
        with pytest.raises(ValueError, match="must be"):
            rescalable(BasicUNet(2, features=FEATURES), **options)


# --- modules that compute something else than their type says


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


def test_a_hook_on_a_layer_that_is_kept_and_on_the_network_itself() -> None:
    network: Any = BasicUNet(2, features=FEATURES)
    network.down_1.convs.register_forward_hook(lambda *_: None)
    assert_refused(network, r"down_1\.convs \(TwoConv\): it has a forward hook")
    outer = small()
    outer.register_forward_hook(lambda *_: None)
    assert_refused(outer, r"the network \(Sequential\): it has a forward hook")


def test_a_parametrization_is_refused() -> None:
    network = altered(parametrizations.spectral_norm)
    assert_refused(network, r"0 \(ParametrizedConv2d\): a parametrization .*remove_parametrizations")


def test_the_way_out_keeps_the_weights() -> None:
    network = altered(spectral_norm)
    network(torch.randn(1, 1, 8, 8))
    torch.nn.utils.remove_spectral_norm(network[0])  # type: ignore[index]
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(rescalable(network)(x, phi=0.5), network(x), atol=1e-6, rtol=0)


def test_a_norm_that_computes_something_else_is_refused() -> None:
    class Twice(nn.GroupNorm):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    network = nn.Sequential(*small(), Twice(1, 2))
    assert_refused(network, r"2 \(Twice\): this type is not known")
    keeps(Twice)
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(rescalable(network)(x, phi=0.5), network(x), atol=1e-6, rtol=0)
