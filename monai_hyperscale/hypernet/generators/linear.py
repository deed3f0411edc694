"""Weights that are linear in the context, as the meta learners of SAN."""

from __future__ import annotations

from typing import Optional, Union

import torch
import torch.nn as nn

from monai_hyperscale.hypernet.encoding import encoding_layer
from monai_hyperscale.hypernet.generators.base import HeadsGenerator

__all__ = ["LinearGenerator"]


class LinearGenerator(HeadsGenerator):
    """θ(c) = θ₀ + c·H: one linear layer from the context to every weight (SAN, section 3.1).

    With one value the generator has twice the weights of the primary network, the smallest that depends on φ.

    Args:
        encoding: ``identity`` (default): the context as it is. SAN's ε = 0.1·S/32 of an input size S is
            ``IdentityEncoding(scale=0.1 / 32)``. Or ``complement``, ``cosine``, a module: see :class:`MLPGenerator`.
        head_scale: the spread of c·H at initialisation relative to that of θ₀, per tensor and at c = 1.
        reference: context at which the weights stay θ₀, see :class:`HeadsGenerator`.

    Raises:
        ValueError: for an unknown encoding.

    Example:
        >>> generator = LinearGenerator()
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> at = [generator(torch.tensor([phi]))["weight"] for phi in (0.0, 0.25, 0.5)]
        >>> torch.allclose(at[1], (at[0] + at[2]) / 2, atol=1e-6)
        True
    """

    def __init__(
        self, encoding: Union[str, nn.Module] = "identity", head_scale: float = 0.1, reference: Optional[float] = None
    ) -> None:
        super().__init__(head_scale, reference)
        self.encoding = encoding_layer(encoding)

    def build(self, width: int) -> tuple[int, float]:
        """Return the length of the encoded context, and ‖c‖² at its largest; nothing is allocated."""
        return self.encoding.width(width), float(width)  # type: ignore[operator]

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Map the values of a context (width,) to its encoding (k,)."""
        return self.encoding(context)
