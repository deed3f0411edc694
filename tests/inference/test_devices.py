from __future__ import annotations

import logging

import pytest
import torch

from monai_hyperscale.inference import choose_device


def pretend(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


@pytest.mark.parametrize(
    ("name", "devices", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_device_that_is_there(monkeypatch: pytest.MonkeyPatch, name: str, devices: int, expected: str) -> None:
    pretend(monkeypatch, devices)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(("name", "devices"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_fallback_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, devices: int
) -> None:
    pretend(monkeypatch, devices)
    with caplog.at_level(logging.WARNING):
        assert choose_device(name) == torch.device("cpu")
    assert f"device {name} is not on this machine (CUDA devices: {devices})" in caplog.text


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:0 "])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or"):
        choose_device(name)
