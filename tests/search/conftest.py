from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_hyperscale.bundle import ModelSettings, RegistrationSettings, build_network, write_settings
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.search import Frontier, FrontierRow, Interval, Latency


def write_bundle(folder: Path, settings: Any) -> Path:
    torch.manual_seed(0)
    network = build_network(settings)
    with torch.no_grad():  # so that phi makes a difference, and no label wins everywhere
        for parameter in network.generator.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
        network.generator.heads[:, -settings.out_channels :] = 0
        # The last bias: of logits none, of a field a shift.
        shift = settings.task == "registration"
        network.generator.base[-settings.out_channels :] = torch.tensor([2.3, -1.6]) if shift else 0
    (folder / "models").mkdir(parents=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    write_settings(settings, folder / "models" / "model.json")
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return six labelled 2D images of different sizes."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=6, size=24, labels=2))


OPTIONS: dict[str, Any] = {
    "network": {"features": (4, 4, 4)},
    "generator": {"hidden": (6, 4)},
    "provenance": {"data": "shapes", "test_cases": ["case_004", "case_001", "case_002"]},
}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a segmentation bundle with random weights."""
    settings = ModelSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("segmentation") / "seg", settings)


@pytest.fixture(scope="session")
def level_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same with one factor per level."""
    settings = ModelSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, per_level=True, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("levels") / "seg", settings)


@pytest.fixture(scope="session")
def registration_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registration bundle with random weights."""
    settings = RegistrationSettings(2, ("grey",), sizes=(32, 32), head_features=4, **OPTIONS)
    return write_bundle(tmp_path_factory.mktemp("registration") / "reg", settings)


def make_row(phi: tuple[float, ...], flops: float, seconds: float, score: float, memory: int = 10**6) -> FrontierRow:
    value = Interval(score, score - 0.01, score + 0.01)
    return FrontierRow(
        phi,
        value,
        flops,
        1000,
        Latency(seconds, 0.9 * seconds, 1.1 * seconds, 9),
        memory,
        {"1": value},
        {"a": {"1": score}, "b": {"1": None}},
    )


@pytest.fixture
def frontier() -> Frontier:
    """Return a frontier of four phi; the third is beaten by the second."""
    rows = [
        make_row((0.0,), 1e9, 0.010, 0.70),
        make_row((0.1,), 2e9, 0.020, 0.86),
        make_row((0.3,), 3e9, 0.030, 0.85),
        make_row((0.5,), 4e9, 0.040, 0.90),
    ]
    return Frontier(
        task="segmentation",
        bundle={"name": "b", "weights_sha256": "0" * 64, "settings": {"labels": {"1": "liver"}}},
        data={"name": "d", "part": "test", "cases": ["a", "b"]},
        labels={"1": "liver"},
        metric={"name": "Dice", "higher_is_better": True},
        machine={"device": "cpu"},
        options={"seed": 0},
        rows=tuple(rows),
        pareto={"flops": (0, 1, 3), "latency": (0, 1, 3)},
        hypervolume={"flops": 0.6, "latency": 0.6},
        knee={"flops": 1, "latency": 1},
    )
