"""How a context such as φ enters a weight generator (SSHN section 3)."""

from __future__ import annotations

import math

import torch
import torch.nn as nn

__all__ = ["ComplementEncoding", "CosineEncoding", "IdentityEncoding", "encoding_layer"]


class ComplementEncoding(nn.Module):
    """Encode a context c in [0, 1] as [c, 1 − c], as in the paper (SSHN section 3).

    Example:
        >>> ComplementEncoding()(torch.tensor([0.25])).tolist()
        [0.25, 0.75]
    """

    def width(self, contexts: int) -> int:
        """Return the length of the encoding of ``contexts`` numbers."""
        return 2 * contexts

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Map (K,) to (2K,)."""
        return torch.cat([context, 1 - context], dim=-1)


class CosineEncoding(nn.Module):
    """Encode a context c as [cos, sin] of π/2·f·c for f = 1, 3, …: the norm is 1 whatever c is.

    A norm that grows with the context makes the generated weights grow with it; this one cannot.

    Args:
        frequencies: how many pairs per context.

    Example:
        >>> CosineEncoding()(torch.tensor([0.3])).norm().item()
        1.0
    """

    def __init__(self, frequencies: int = 1) -> None:
        super().__init__()
        if frequencies < 1:
            raise ValueError(f"frequencies must be at least 1, got {frequencies}.")
        self.frequencies = frequencies

    def width(self, contexts: int) -> int:
        """Return the length of the encoding of ``contexts`` numbers."""
        return 2 * contexts * self.frequencies

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Map (K,) to (2·K·frequencies,)."""
        odd = torch.arange(self.frequencies, device=context.device, dtype=context.dtype) * 2 + 1
        angles = (context[:, None] * odd).flatten() * (math.pi / 2)
        return torch.cat([angles.cos(), angles.sin()]) / math.sqrt(angles.numel())


class IdentityEncoding(nn.Module):
    """Encode a context c as ``scale``·c, as SAN does with an input size S: ε = 0.1·S/32 (SAN section 3.1).

    Args:
        scale: the factor.

    Example:
        >>> IdentityEncoding(scale=0.1 / 32)(torch.tensor([224.0]))
        tensor([0.7000])
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def width(self, contexts: int) -> int:
        """Return the length of the encoding of ``contexts`` numbers."""
        return contexts

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Map (K,) to (K,)."""
        return context * self.scale


_ENCODINGS = {"complement": ComplementEncoding, "cosine": CosineEncoding, "identity": IdentityEncoding}


def encoding_layer(encoding: str | nn.Module) -> nn.Module:
    """Return the encoding called ``complement``, ``cosine`` or ``identity``, or the module given.

    Raises:
        ValueError: for any other name.
    """
    if isinstance(encoding, nn.Module):
        return encoding
    if encoding in _ENCODINGS:
        return _ENCODINGS[encoding]()
    raise ValueError(f"encoding must be 'complement', 'cosine', 'identity' or a module, got {encoding!r}.")
