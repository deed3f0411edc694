"""Weights of their own at a few φ, and straight lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
import torch.nn.functional as F

from monai_hyperscale.hypernet.generators.base import HeadsGenerator


class SplineGenerator(HeadsGenerator):
    """θ(φ) = θ₀ + Σᵢ Bᵢ(φ)·Dᵢ: a change Dᵢ of all weights at each of K anchors, with lines between (tents Bᵢ).

    Beyond the outer anchors the weights stay as they are there. With several values, as one φ per level, the levels'
    curves are added. Our own idea, beside the papers: K + 1 times the weights of the primary network, and no φ far away
    has a say.

    Args:
        anchors: values of φ in increasing order; closer where a small change of φ changes the sizes most. A
            ``ValueError`` if there are fewer than two, or they are out of order or not finite.
        head_scale: the spread of the changes at initialisation relative to that of θ₀, per tensor.
        reference: φ at which the weights stay θ₀, see :class:`HeadsGenerator`.

    Example:
        >>> generator = SplineGenerator(anchors=(0.0, 0.2, 0.5))
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> generator.embed(torch.tensor([0.05]))
        tensor([0.7500, 0.2500, 0.0000])
    """

    anchors: torch.Tensor

    def __init__(
        self,
        anchors: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 1.0),
        head_scale: float = 0.1,
        reference: Optional[float] = None,
    ) -> None:
        super().__init__(head_scale, reference)
        places = torch.tensor([float(anchor) for anchor in anchors], dtype=torch.float64)
        if len(places) < 2 or not places.isfinite().all() or (places.diff() <= 0).any():
            raise ValueError(f"anchors must be two or more increasing values of phi, got {list(anchors)}.")
        # A setting, not state: it comes from the arguments and is not in the weights file.
        self.register_buffer("anchors", places, persistent=False)

    def build(self, width: int) -> tuple[int, float]:
        return width * len(self.anchors), float(width)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        inside = context.clamp(self.anchors[0], self.anchors[-1])
        piece = torch.bucketize(inside.detach(), self.anchors[1:-1], right=True)
        start, end = self.anchors[piece], self.anchors[piece + 1]
        share = ((inside - start) / (end - start))[:, None]
        tents = F.one_hot(torch.stack([piece, piece + 1]), len(self.anchors)).to(share)
        return torch.lerp(tents[0], tents[1], share).flatten()

    def extra_repr(self) -> str:
        return f"anchors=({', '.join(f'{anchor:g}' for anchor in self.anchors.tolist())}), {super().extra_repr()}"
