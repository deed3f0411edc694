from __future__ import annotations

import logging

import pytest
import torch

from monai_hyperscale.inference.devices import choose_device, first_that_fits, out_of_memory


def pretend(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)


def test_device_that_is_there_or_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    there = [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")]
    for name, devices, expected in there:
        pretend(monkeypatch, devices)
        assert choose_device(name) == torch.device(expected)
    assert not caplog.records
    for name, devices in (("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)):
        pretend(monkeypatch, devices)
        with caplog.at_level(logging.WARNING):
            assert choose_device(name) == torch.device("cpu")
        assert f"device {name} is not on this machine (CUDA devices: {devices})" in caplog.text


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:0 "])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or"):
        choose_device(name)


def fails_below(least: int) -> list[int]:
    """Return the ways tried until one takes at least so much."""
    tried: list[int] = []

    def attempt(way: int) -> list[int]:
        tried.append(way)
        if way < least:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tried

    return first_that_fits(attempt, (1, 2, 3), "the image", "in windows")


def test_the_first_way_that_fits_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fails_below(1) == [1] and not caplog.records
        assert fails_below(3) == [1, 2, 3]
        with pytest.raises(MemoryError, match="the image does not fit into memory even in windows"):
            fails_below(4)
    # Twice each: nothing goes on after the last.
    assert caplog.messages == ["there is too little memory for the image at once; going on in windows."] * 4


def test_other_errors_are_no_want_of_memory() -> None:
    def attempt(way: int) -> None:
        raise RuntimeError("wrong shape")

    with pytest.raises(RuntimeError, match="wrong shape"):
        first_that_fits(attempt, (1, 2), "the image")
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."))
