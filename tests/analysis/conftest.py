from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_hyperscale.bundle import build_network, write_settings
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three labelled 2D images."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))


@pytest.fixture
def write_network(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a bundle of either task with random weights, in which phi makes a difference."""

    def write(name: str = "net", task: str = "segmentation", **options: Any) -> Path:
        torch.manual_seed(0)
        given: dict[str, Any] = {
            "network": {"features": (4, 4, 4)},
            "generator": {"hidden": (6, 4)},
            "provenance": {"data": "shapes"},
            **options,
        }
        settings: Any = (
            RegistrationSettings(2, ("grey",), sizes=(24, 24), head_features=4, **given)
            if task == "registration"
            else SegmentationSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, **given)
        )
        network = build_network(settings)
        with torch.no_grad():
            for parameter in network.generator.parameters():
                parameter.add_(torch.randn_like(parameter) / 10)
        folder = tmp_path / name
        (folder / "models").mkdir(parents=True)
        torch.save(network.state_dict(), folder / "models" / "model.pt")
        write_settings(settings, folder / "models" / "model.json")
        return folder

    return write
