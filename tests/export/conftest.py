from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.saved import save_network


def write(folder: Path, settings: NetworkSettings) -> Path:
    save_network(folder / "models", settings, push=0.02, bias=0)
    return folder


@pytest.fixture
def segmentation(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small segmentation bundle with random weights."""

    def make(spatial_dims: int = 2, **options: Any) -> Path:
        usual = {
            "channels": ("grey",) if spatial_dims == 2 else ("MRI",),
            "labels": {1: "Anterior", 2: "Posterior"},
            "network": {"features": (4, 4, 4)},
            "generator": {"hidden": (6, 4)},
            "roi_size": (24, 20, 16)[:spatial_dims],
            "provenance": {"data": "random numbers"},
        }
        return write(tmp_path / "bundle", SegmentationSettings(spatial_dims, **{**usual, **options}))

    return make


@pytest.fixture
def registration(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small registration bundle with random weights."""

    def make(spatial_dims: int = 3, **options: Any) -> Path:
        usual = {
            "channels": ("MRI",),
            "network": {"features": (4, 4)},
            "generator": {"hidden": (6, 4)},
            "head_features": 4,
            "sizes": (20, 16, 18)[:spatial_dims],
        }
        return write(tmp_path / "bundle", RegistrationSettings(spatial_dims, **{**usual, **options}))

    return make
