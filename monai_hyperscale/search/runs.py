"""A folded network as it is run over a whole image, in one module that can be timed, counted and sent elsewhere."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn

from monai_hyperscale.inference.inferers import PhiInferer

__all__ = ["FoldedInference"]


class FoldedInference(nn.Module):
    """Pass an image through a folded network by an inferer: in one piece, in windows, or slice by slice.

    Args:
        network: a plain network, such as ``Segmenter.fold`` returns.
        inferer: how images go through it.

    Example:
        >>> run = FoldedInference(nn.Conv2d(1, 3, 1), PhiInferer())
        >>> run(torch.zeros(1, 1, 8, 6)).shape
        torch.Size([1, 3, 8, 6])
    """

    def __init__(self, network: nn.Module, inferer: PhiInferer) -> None:
        super().__init__()
        self.network = network
        self.inferer = inferer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (B, C, *sizes) to what the network returns for it."""
        with torch.inference_mode():
            return self.inferer(image, self._plain)

    def _plain(self, window: torch.Tensor, phi: Any = None) -> torch.Tensor:
        return self.network(window)
