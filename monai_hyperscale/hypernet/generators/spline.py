"""Weights of their own at a few φ, and a curve between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch
from scipy.interpolate import CubicSpline, PPoly

from monai_hyperscale.hypernet.generators.base import HeadsGenerator

__all__ = ["SplineGenerator"]


class SplineGenerator(HeadsGenerator):
    """θ(φ) = θ₀ + Σᵢ Bᵢ(φ)·Dᵢ: a change Dᵢ of all weights at each of K anchors, interpolated between them.

    The basis B is linear (a tent at each anchor) or that of the natural cubic spline; either sums to 1. Beyond the
    outer anchors the weights stay as they are there. With several values, as one φ per level, the levels' curves
    are added. Our own idea, beside the papers': K + 1 times the weights of the primary network, and no φ far away has
    a say.

    Args:
        anchors: values of φ in increasing order; closer where a small change of φ changes the sizes most.
        basis: ``linear`` or ``cubic``.
        head_scale: the spread of the changes at initialisation relative to that of θ₀, per tensor.
        reference: φ at which the weights stay θ₀, see :class:`HeadsGenerator`.

    Raises:
        ValueError: for fewer than two anchors, anchors out of order or not finite, or an unknown basis.

    Example:
        >>> generator = SplineGenerator(anchors=(0.0, 0.2, 0.5))
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> generator.embed(torch.tensor([0.05]))
        tensor([0.7500, 0.2500, 0.0000])
    """

    anchors: torch.Tensor
    coefficients: torch.Tensor

    def __init__(
        self,
        anchors: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0),
        basis: str = "linear",
        head_scale: float = 0.1,
        reference: Optional[float] = None,
    ) -> None:
        super().__init__(head_scale, reference)
        places = np.asarray(list(anchors), dtype=np.float64)
        if places.ndim != 1 or places.size < 2 or not np.isfinite(places).all() or (np.diff(places) <= 0).any():
            raise ValueError(f"anchors must be two or more increasing values of phi, got {list(anchors)}.")
        # One column per anchor: the curve that is 1 there and 0 at the others.
        unit = np.eye(places.size)
        curves: PPoly
        if basis == "linear":
            curves = PPoly(np.stack([np.diff(unit, axis=0) / np.diff(places)[:, None], unit[:-1]]), places)
        elif basis == "cubic":
            curves = CubicSpline(places, unit, bc_type="natural")
        else:
            raise ValueError(f"basis must be 'linear' or 'cubic', got {basis!r}.")
        self.basis = basis
        self._ends = (float(places[0]), float(places[-1]))
        # Settings, not state: they come from the arguments and are not in the weights file.
        self.register_buffer("anchors", torch.from_numpy(places), persistent=False)
        self.register_buffer("coefficients", torch.from_numpy(curves.c.copy()), persistent=False)

    def build(self, width: int) -> tuple[int, float]:
        """Return K numbers per value, and the ‖e‖² at the anchors; nothing is allocated."""
        return width * self.anchors.numel(), float(width)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Map the values of a context (width,) to those of the basis (width·K,)."""
        inside = context.clamp(*self._ends)
        piece = torch.bucketize(inside.detach(), self.anchors[1:-1], right=True)
        beyond = (inside - self.anchors[piece])[:, None]
        values = self.coefficients[0, piece]
        for coefficient in self.coefficients[1:]:
            values = values * beyond + coefficient[piece]
        return values.flatten()

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        places = ", ".join(f"{float(anchor):g}" for anchor in self.anchors)
        return f"anchors=({places}), basis={self.basis}, {super().extra_repr()}"
