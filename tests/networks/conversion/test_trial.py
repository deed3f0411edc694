from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn
from monai.networks.nets import UNet

from monai_hyperscale.networks.conversion import rescalable
from tests.networks.conversion.conversion_tests import assert_refused

PHIS = (0.0, 0.1, 0.37, 0.5, 1.0)


def halved(*after: nn.Module, **options: Any) -> nn.Sequential:
    """Return a convolution, a pooling, and what comes after it."""
    return nn.Sequential(nn.Conv2d(1, 2, 3, **{"padding": 1, **options}), nn.MaxPool2d(2), *after)


@pytest.mark.parametrize(
    ("network", "match"),
    [
        # For images of 28 × 28, of 64 × 64, and of 20 × 24 voxels.
        (halved(nn.Flatten(), nn.Linear(392, 3)), r"3 \(Linear\): at phi = 0 it gets another number of .*adaptive"),
        (halved(nn.Flatten(), nn.Dropout(), nn.Linear(2048, 3)), r"4 \(Linear\): .*features"),
        (halved(nn.Flatten(), nn.Linear(240, 8), nn.ReLU(), nn.Linear(8, 3)), r"3 \(Linear\): .*features"),
        (halved(nn.Flatten(2), nn.Unflatten(2, (32, 32))), r"3 \(Unflatten\): at phi = 0 it fails"),
        (halved(nn.Conv2d(2, 2, 3)), r"2 \(Conv2d\): at phi = 0 its maps are smaller than .*kernel 3, stride 1"),
        (halved(nn.Conv2d(2, 2, 3, padding=(1, 0))), r"2 \(Conv2d\): .*let it pad them by zeros"),
        (halved(nn.Conv2d(2, 2, 3, padding=1, dilation=2)), r"2 \(Conv2d\)"),
        (halved(nn.Conv2d(2, 2, 3, padding="valid")), r"2 \(Conv2d\)"),
        (halved(nn.Conv2d(2, 2, 5, padding=2, padding_mode="circular")), r"2 \(Conv2d\)"),
        (halved(nn.MaxPool2d(3, stride=1)), r"2 \(MaxPool2d\): at phi = 0"),
        (halved(nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3)), r"2 \(ReflectionPad2d\): at phi = 0 it fails"),
        (nn.Sequential(halved(), nn.Sequential(nn.Conv2d(2, 2, 3))), r"1\.0 \(Conv2d\)"),
    ],
    ids=str,
)
def test_a_layer_that_does_not_bear_every_phi_is_refused(network: nn.Module, match: str) -> None:
    assert_refused(network, match)


@pytest.mark.parametrize(
    "network",
    [
        halved(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)),
        halved(nn.AdaptiveMaxPool2d((4, 2)), nn.Flatten(), nn.Linear(16, 3)),
        halved(nn.ZeroPad2d(1), nn.Conv2d(2, 2, 3)),
        halved(nn.Conv2d(2, 2, 3, padding="same", dilation=2)),
        halved(nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate")),
        halved(padding=0),  # before any down-sampling: it wants what the original wants
        # Maps that come back to the image can be flattened.
        nn.Sequential(UNet(2, 1, 2, channels=(4, 4), strides=(2,)), nn.Flatten(), nn.Linear(2 * 32 * 18, 3)),
    ],
    ids=str,
)
def test_what_bears_every_phi_is_converted(network: nn.Module) -> None:
    converted = rescalable(network.eval())
    x = torch.randn(1, 1, 32, 18)
    for phi in PHIS:
        assert converted(x, phi=phi).isfinite().all()
    assert not any("could not be tried" in note for note in converted.report.notes)


def test_a_fixed_size_is_told() -> None:
    def notes(pool: nn.Module) -> list[str]:
        return rescalable(halved(pool, nn.Conv2d(2, 2, 3, padding=1))).report.notes

    assert notes(nn.AdaptiveAvgPool2d(8)) == ["2 (AdaptiveAvgPool2d) gives the size 8 whatever phi is."]
    assert notes(nn.AdaptiveMaxPool2d((8, None))) == ["2 (AdaptiveMaxPool2d) gives the size (8, None) whatever phi is."]
    assert notes(nn.AdaptiveAvgPool2d(1)) == []


def test_what_could_not_be_tried_is_told() -> None:
    network = halved(nn.Flatten(2), nn.Unflatten(2, (10, 12)))  # for images of 20 × 24 voxels
    (note,) = rescalable(network).report.notes
    assert "(2, 3) could not be tried at every phi: the original ran on no square image" in note


def test_the_trial_leaves_the_networks_and_the_random_numbers_alone() -> None:
    network = halved(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(2, 3)).train()
    state, random = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    converted = rescalable(network)
    assert torch.equal(torch.get_rng_state(), random)
    for each in (network, converted.body):
        assert all(module.training and not module._forward_hooks for module in each.modules())
        assert all(torch.equal(value, state[name]) for name, value in each.state_dict().items())
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in converted.parameters())
