from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.conftest import OPTIONS, write_bundle


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three labelled 2D images."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))


@pytest.fixture
def write_network(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a bundle of either task with random weights, in which phi makes a difference."""

    def write(name: str = "net", task: str = "segmentation", **options: Any) -> Path:
        given = {**OPTIONS, "provenance": {"data": "shapes"}, **options}
        if task == "registration":
            settings: Any = RegistrationSettings(2, ("grey",), sizes=(24, 24), head_features=4, **given)
        else:
            settings = SegmentationSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"}, **given)
        return write_bundle(tmp_path / name, settings)

    return write
