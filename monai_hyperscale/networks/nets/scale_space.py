"""The base of every φ-network: enters the factor, and folds to a plain network."""

from __future__ import annotations

import copy
from typing import Optional

import torch
import torch.nn as nn

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.layers.factor import Phi, as_factors, rescaling_factor
from monai_hyperscale.networks.layers.resize import VariableResize

__all__ = ["ScaleSpaceNetwork"]


class ScaleSpaceNetwork(nn.Module):
    """A network f_φ whose :class:`VariableResize` layers take their factor from ``forward``'s ``phi``.

    Args:
        body: the network; its resize layers are found wherever they are nested.

    Raises:
        ValueError: if ``body`` has no resize layer, so that φ would do nothing.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.levels = 1 + max((layer.level for layer in self._resizes(body)), default=-1)
        if self.levels == 0:
            raise ValueError(f"{type(body).__name__} has no VariableResize layer, so phi would have no effect.")

    @staticmethod
    def _resizes(module: nn.Module) -> list[VariableResize]:
        return [layer for layer in module.modules() if isinstance(layer, VariableResize)]

    def factors(self, phi: Phi) -> tuple[float, ...]:
        """Return φ as checked factors: one, or one for each of the network's ``levels``.

        Raises:
            PhiError: if a factor is not a number in [0, 1], or their number fits neither.
        """
        factors = as_factors(phi)
        if len(factors) not in (1, self.levels):
            raise PhiError(f"phi must be one factor or {self.levels}, one per level; got {len(factors)}.")
        return factors

    def forward(self, x: torch.Tensor, phi: Optional[Phi] = None) -> torch.Tensor:
        """Run the network at ``phi``.

        Args:
            x: images (B, C, *sizes), any size of at least one voxel per axis.
            phi: one rescaling factor in [0, 1], or one per level.

        Raises:
            PhiError: if ``phi`` is missing or not valid.
        """
        if phi is None:
            raise PhiError("call the network with phi=..., or fold(phi) it first.")
        with rescaling_factor(self.factors(phi)):
            return self.body(x)

    def fold(self, phi: Phi) -> nn.Module:
        """Return a plain copy of the network that always runs at ``phi``, ready for TorchScript and ONNX.

        Raises:
            PhiError: if ``phi`` is not valid.
        """
        factors = self.factors(phi)
        plain = copy.deepcopy(self.body)
        for layer in self._resizes(plain):
            layer.fix(factors[layer.level] if len(factors) > 1 else factors[0])
        return plain
