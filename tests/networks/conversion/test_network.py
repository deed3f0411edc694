from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet, UNet

from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from monai_hyperscale.networks.conversion import rescalable


def basic(out_channels: int = 2, norm: Any = ("instance", {"affine": True})) -> BasicUNet:
    return BasicUNet(2, 1, out_channels, features=(4, 4, 4, 4, 4, 4), norm=norm)


def test_warm_start_from_every_form(tmp_path: Path) -> None:
    trained, x = basic(), torch.randn(1, 1, 32, 16)
    state: Any = trained.state_dict()
    torch.save(state, tmp_path / "model.pt")
    forms: list[Any] = [state, tmp_path / "model.pt", rescalable(trained).state_dict(), rescalable(trained)]
    # What frameworks wrap around weights is taken off.
    for prefix in ("", "module.", "net.", "model.backbone."):
        prefixed = {prefix + name: value for name, value in state.items()}
        forms += [prefixed, {"model_state_dict": prefixed, "epoch": 3}, {"model": prefixed, "epoch": 3}]
    for weights in forms:
        network = rescalable(basic(), weights=weights)
        tensors = network.report.tensors
        assert sorted(tensors.reused) == sorted(state) and not tensors.fresh and not tensors.unused
        torch.testing.assert_close(dict(network.body.state_dict()), dict(state), atol=0, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x, phi=0.5), trained.eval()(x), atol=1e-5, rtol=0)


def test_what_does_not_fit_is_told() -> None:
    network = rescalable(basic(out_channels=3))
    own = network.body.state_dict()["final_conv.weight"].clone()
    state = {**basic(out_channels=2).state_dict(), "extra": torch.zeros(1)}
    del state["conv_0.conv_0.conv.bias"]
    report = network.load_weights_from(state)
    assert set(report.fresh) == {"final_conv.weight", "final_conv.bias", "conv_0.conv_0.conv.bias"}
    assert report.fresh["conv_0.conv_0.conv.bias"] == "not in the source"
    assert "(2, 4, 1, 1)" in report.fresh["final_conv.weight"] and "(3, 4, 1, 1)" in report.fresh["final_conv.weight"]
    assert set(report.unused) == {"final_conv.weight", "final_conv.bias", "extra"}
    assert torch.equal(network.body.state_dict()["final_conv.weight"], own)
    assert network.report.tensors is report and "79 of 82 reused" in str(report) and "3 fresh" in str(report)


def test_batch_norm_scales_are_adapted_and_statistics_left() -> None:
    trained = basic(norm="batch")
    network = rescalable(basic(norm="batch"), norm="group", weights=trained.state_dict())
    tensors = network.report.tensors
    assert len(tensors.adapted) == 36 and all(".adn.N." in name for name in tensors.adapted)
    assert len(tensors.unused) == 54 and all("BatchNorm2d" in reason for reason in tensors.unused.values())
    body = network.body.state_dict()
    for name in [*tensors.adapted, *tensors.reused]:
        assert torch.equal(body[name], trained.state_dict()[name])


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network = rescalable(basic())
    other = UNet(2, 1, 2, channels=(4, 8), strides=(2,))
    with pytest.raises(CheckpointError, match="no tensor of the UNet given fits BasicUNet"):
        network.load_weights_from(other)
    with pytest.raises(CheckpointError, match=r"it has model\.0\..*, …; wanted is conv_0\."):
        network.load_weights_from(other)
    with pytest.raises(CheckpointError, match="it has no tensors"):
        network.load_weights_from({"epoch": 3})
    with pytest.raises(CheckpointError, match="a state dict, its file or a network, got 5"):
        network.load_weights_from(5)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="no weights at"):
        network.load_weights_from(tmp_path / "none.pt")
    torch.save(basic(), tmp_path / "code.pt")  # code in a file does not run
    with pytest.raises(CheckpointError):
        network.load_weights_from(tmp_path / "code.pt")


def test_the_fold_at_one_half_is_a_monai_state_dict() -> None:
    # Trained as a hypernetwork, run by MONAI alone.
    net = HyperNetwork(rescalable(basic()), MLPGenerator(hidden=(4, 3), head_scale=1.0)).eval()
    plain = basic().eval()
    plain.load_state_dict(net.fold(0.5).state_dict())
    x = torch.randn(1, 1, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), net(x, phi=0.5), atol=1e-5, rtol=0)


def test_the_report_is_a_text() -> None:
    text = str(rescalable(basic(norm="batch"), norm="group").report)
    assert text.startswith("BasicUNet, made rescalable:\n")
    for part in (
        "4 × MaxPool2d(kernel 2, stride 2) -> resized by phi",
        "down_1.max_pooling (level 0), down_2.max_pooling (level 1)",
        "4 × UpSample -> ",
        "18 × BatchNorm2d -> group norm of 1 groups",
        "82 of 82 reused",
        "36 adapted:",
        "54 not used:",
        "and 42 more: statistics of a BatchNorm2d that was replaced",
    ):
        assert part in text
