"""Generators and networks that several tests use."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn

from monai_hyperscale.hypernet import MLPGenerator


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 3, 3, padding=1)
        self.right = nn.Conv2d(2, 3, 1)

    def forward(self, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> dict[str, torch.Tensor]:
        return {"sum": self.left(left) + scale * self.right(right)}


def strong(**options: Any) -> MLPGenerator:
    """Return a generator whose weights depend on φ as much as on where they started."""
    return MLPGenerator(hidden=(10, 8), head_scale=1.0, **options)
