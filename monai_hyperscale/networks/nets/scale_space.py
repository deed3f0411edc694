"""The base of every φ-network: enters the factors, rescales the input on request, and folds to a plain network."""

from __future__ import annotations

import copy
from typing import Any, Optional

import torch
import torch.nn as nn

from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.layers.factor import Phi, rescaling_factor
from monai_hyperscale.networks.layers.resize import VariableResize, resize_maps


class RescaledInput(nn.Module):
    """A network that sees the image at another size: what ``fold`` returns where the input has a factor of its own.

    ``resize`` resizes the image for ``body``, whose logits, one map, a list of maps or maps stacked along axis 1, come
    back at the image's size; what has no spatial axes (class scores) is left as it is.

    Example:
        >>> resize = VariableResize(spatial_dims=2)
        >>> resize.fix(0.5)
        >>> RescaledInput(resize, nn.Conv2d(1, 3, 1))(torch.zeros(1, 1, 31, 17)).shape
        torch.Size([1, 3, 31, 17])
    """

    def __init__(self, resize: VariableResize, body: nn.Module) -> None:
        super().__init__()
        self.resize = resize
        self.body = body

    # No annotations: TorchScript then finds out by itself whether the body returns one map or a list of them.
    def forward(self, x):  # type: ignore[no-untyped-def]
        """Map images (B, C, *sizes) to what the body returns, at the size of the images."""
        y = self.body(self.resize(x))
        if isinstance(y, torch.Tensor):
            return resize_maps(y, x, self.resize.mode)
        return [resize_maps(maps, x, self.resize.mode) for maps in y]


class ScaleSpaceNetwork(nn.Module):
    """A network f_φ whose :class:`VariableResize` layers take their factor from ``forward``'s ``phi``.

    φ may name one factor per level (SSHN C.2).

    Args:
        body: the network; its resize layers are found wherever they are nested. None is a ``ValueError``.
        rescale_input: whether the image is rescaled by a factor of its own, and the logits back at the end:
            φ = (φ_input, φ_0, …), one level more. One φ alone gives the input min(1, 2φ): all of it at ordinary halving
            and above. This moves the cost of the first stage, which dominates that of a uniform network, and costs
            detail. Not for registration: displacements in voxels would have to be rescaled in value too.

    Example:
        >>> net = ScaleSpaceNetwork(nn.Sequential(VariableResize(2), VariableResize(2, level=1)), rescale_input=True)
        >>> net.levels, net.per_level(0.25)
        (3, (0.5, 0.25, 0.25))
    """

    def __init__(self, body: nn.Module, rescale_input: bool = False) -> None:
        super().__init__()
        resizes = self._resizes(body)
        if not resizes:
            raise ValueError(f"{type(body).__name__} has no VariableResize layer, so phi would have no effect.")
        self.body = body
        self.rescale_input = rescale_input
        self.input_resize: Optional[VariableResize] = None
        if rescale_input:
            # As the network's first level is resized. It has no weights, so the state dict is the same either way.
            first = resizes[0]
            mode = "nearest" if "nearest" in first.mode else "linear"
            self.input_resize = VariableResize(first.spatial_dims, 0, mode, first.rounding)
        self.levels = 1 + max(layer.level for layer in resizes) + rescale_input

    @staticmethod
    def _resizes(module: nn.Module) -> list[VariableResize]:
        return [layer for layer in module.modules() if isinstance(layer, VariableResize)]

    @property
    def context(self) -> ContextSpec:
        """φ as this network takes it: one, or one per level."""
        return ContextSpec(ContextNumber("phi", count=self.levels, first=2.0 if self.rescale_input else 1.0))

    def per_level(self, phi: Phi) -> tuple[float, ...]:
        """Return the factor of each of the network's ``levels``, which one φ alone stands for."""
        return self.context["phi"].spread(phi)

    def forward(self, x: torch.Tensor, phi: Optional[Phi] = None) -> Any:
        """Run the network on images (B, C, *sizes) of any size at ``phi``, one factor in [0, 1] or one per level.

        A :class:`PhiError` if ``phi`` is missing or not valid.
        """
        if phi is None:
            raise PhiError("call the network with phi=..., or fold(phi) it first.")
        factors = self.per_level(phi)
        if self.input_resize is None:
            with rescaling_factor(factors):
                return self.body(x)
        with rescaling_factor(factors[:1]):
            small = self.input_resize(x)
        with rescaling_factor(factors[1:]):
            y = self.body(small)
        mode = self.input_resize.mode
        return resize_maps(y, x, mode) if isinstance(y, torch.Tensor) else [resize_maps(maps, x, mode) for maps in y]

    def fold(self, phi: Phi) -> nn.Module:
        """Return a plain copy for one ``phi``, ready for TorchScript and ONNX; a :class:`PhiError` if not valid."""
        factors = self.per_level(phi)
        plain = copy.deepcopy(self.body)
        for layer in self._resizes(plain):
            layer.fix(factors[layer.level + self.rescale_input])
        if self.input_resize is None:
            return plain
        resize = copy.deepcopy(self.input_resize)
        resize.fix(factors[0])
        return RescaledInput(resize, plain)
