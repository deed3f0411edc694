from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from monai_hyperscale.bundle.settings import build_network
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


@pytest.fixture
def segmenter() -> Callable[..., Segmenter]:
    """Return a function that makes a segmenter with a small random network."""

    def make(spatial_dims: int = 3, options: dict[str, Any] | None = None, **settings: Any) -> Segmenter:
        torch.manual_seed(1)
        described = SegmentationSettings(
            spatial_dims,
            **{"channels": ("MRI",), "labels": {1: "a", 2: "b"}, "network": {"features": (4, 4, 4)}, **settings},
        )
        return Segmenter(described, build_network(described), **(options or {}))

    return make
