"""The cost of a folded network."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops"]


def count_flops(network: nn.Module, image: torch.Tensor) -> int:
    """Return the floating-point operations of one forward pass, by torch's own counter.

    A multiplication and an addition count as two. Fold the network first: generating weights is no part of the
    cost of using them. The counter knows convolutions and matrix products; resizing, which it does not know, is
    well below a percent of them.

    Args:
        network: a plain network, such as ``HyperNetwork.fold`` returns.
        image: input (B, C, *sizes).

    Example:
        >>> count_flops(nn.Conv2d(1, 2, 3, padding=1, bias=False), torch.zeros(1, 1, 8, 8))
        2304
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()
