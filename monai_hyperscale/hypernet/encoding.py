"""How a context such as φ enters a weight generator (SSHN section 3)."""

from __future__ import annotations

import torch
import torch.nn as nn


class ComplementEncoding(nn.Module):
    """Encode a context c in [0, 1] as [c, 1 − c], as in the paper (SSHN section 3).

    Example:
        >>> ComplementEncoding()(torch.tensor([0.25])).tolist()
        [0.25, 0.75]
    """

    def width(self, values: int) -> int:
        """Return the length of the encoding of so many ``values``."""
        return 2 * values

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Map (K,) to (2K,)."""
        return torch.cat([context, 1 - context], dim=-1)


class IdentityEncoding(nn.Module):
    """Encode a context c as ``scale``·c, as SAN does with an input size S: ε = 0.1·S/32 (SAN section 3.1).

    Example:
        >>> IdentityEncoding(scale=0.1 / 32)(torch.tensor([224.0]))
        tensor([0.7000])
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def width(self, values: int) -> int:
        """Return the length of the encoding of so many ``values``."""
        return values

    def forward(self, context: torch.Tensor) -> torch.Tensor:
        """Map (K,) to (K,)."""
        return context * self.scale


_ENCODINGS = {"complement": ComplementEncoding, "identity": IdentityEncoding}


def encoding_layer(encoding: str | nn.Module) -> nn.Module:
    """Return the encoding called ``complement`` or ``identity``, or the module given."""
    if isinstance(encoding, nn.Module):
        return encoding
    if encoding in _ENCODINGS:
        return _ENCODINGS[encoding]()
    raise ValueError(f"encoding must be 'complement', 'identity' or a module, got {encoding!r}.")
