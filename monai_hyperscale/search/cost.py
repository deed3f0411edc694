"""The cost of a folded network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn as nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

__all__ = ["count_flops"]


def _onednn_flops(
    x: Sequence[int],
    weight: Sequence[int],
    bias: Optional[Sequence[int]],
    *options: Any,
    out_shape: Optional[Sequence[int]] = None,
    **others: Any,
) -> int:
    return conv_flop_count(list(x), list(weight), list(out_shape or ()))


# What the counter does not know by itself: see CPUConvolutions.
_COUNTED_TOO = {torch.ops.aten.mkldnn_convolution: _onednn_flops}


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
    with FlopCounterMode(display=False, custom_mapping=_COUNTED_TOO) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()
