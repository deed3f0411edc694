"""Feature-wise linear modulation by φ: the baseline FiLM (SSHN section 4.3)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Union

import torch
import torch.nn as nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from monai_hyperscale.hypernet.generators.mlp import MLPGenerator
from monai_hyperscale.hypernet.selection import NORMS


class _Layer(NamedTuple):
    weight: str
    bias: str
    channels: int
    groups: int  # 0: the output channels are the weight's first axis; else those of a transposed convolution


class FiLMGenerator(MLPGenerator):
    """A scale and a shift of every output channel, from φ, after each selected layer; the weights are learned as usual.

    A layer's output s·(W∗x + b) + t is that of the weights s·W and the bias s·b + t, so this is a weight generator
    like the others and folds for free; after a normalisation with affine parameters, the same with its γ and β. Select
    ``"norms"`` to modulate after every normalisation, ``"convolutions"`` after every convolution, as the paper does:
    between a convolution and a normalisation most of a scale and a shift is taken out again. A selected layer without
    bias is given one; one of another kind, or whose weight or bias alone is selected, is a ``ValueError``.
    Scales start at 1, shifts at 0.

    Args:
        hidden: widths of the perceptron's hidden layers.
        encoding: of the context, as in :class:`MLPGenerator`.
        head_scale: spread of the scales about 1 and of the shifts about 0 at initialisation.
        activation: of the hidden layers, as in :class:`MLPGenerator`.

    Example:
        >>> from monai_hyperscale.hypernet import HyperNetwork
        >>> layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU())
        >>> HyperNetwork(layers, FiLMGenerator(), select="norms").generated
        ('1.weight', '1.bias')
    """

    def __init__(
        self,
        hidden: Sequence[int] = (10, 16),
        encoding: Union[str, nn.Module] = "complement",
        head_scale: float = 0.0,
        activation: Union[str, Sequence[Any]] = "leakyrelu",
    ) -> None:
        super().__init__(hidden, encoding, head_scale=head_scale, activation=activation)
        self._groups: dict[str, int] = {}
        self._modulated: list[_Layer] = []

    def prepare(self, layers: Mapping[str, nn.Module]) -> list[str]:
        # Note where the output channels of the layers are, and give a zero bias to those that have none.
        modules: dict[str, Any] = {}
        for path, layer in {name.rpartition(".")[0]: layer for name, layer in layers.items()}.items():
            module: Any = layer
            prefix, said = (f"{path}.", path) if path else ("", "the network")
            if not isinstance(module, (_ConvNd, nn.Linear, *NORMS)):
                raise ValueError(
                    f"FiLM modulates convolutions, linear layers and normalisation, but {said} is a "
                    f"{type(module).__name__}; select other parameters."
                )
            if module.bias is not None and not {f"{prefix}weight", f"{prefix}bias"} <= set(layers):
                raise ValueError(f"FiLM needs weight and bias of {said}; select both or neither.")
            modules[prefix] = module
        for prefix, module in modules.items():
            if module.bias is None:
                module.bias = nn.Parameter(module.weight.detach().new_zeros(_bias_shape(module)))
            self._groups[prefix] = module.groups if isinstance(module, _ConvTransposeNd) else 0
        return [f"{prefix}{attribute}" for prefix in modules for attribute in ("weight", "bias")]

    def bind(self, parameters: Mapping[str, torch.Tensor], width: int = 1, keep_start: Collection[str] = ()) -> None:
        values = self._remember(parameters)
        k, energy = self.build(width)
        prefixes = [name.removesuffix("weight") for name in parameters if name.rpartition(".")[2] == "weight"]
        if sorted(parameters) != sorted(f"{prefix}{of}" for prefix in prefixes for of in ("weight", "bias")):
            raise ValueError(f"FiLM needs a weight and a bias of every layer, got {', '.join(parameters)}.")
        self._modulated = [
            _Layer(f"{p}weight", f"{p}bias", parameters[f"{p}bias"].shape[0], self._groups.get(p, 0)) for p in prefixes
        ]
        channels = sum(layer.channels for layer in self._modulated)
        heads = torch.randn(2 * channels, k) * (self.head_scale / math.sqrt(energy))
        shifts = heads[channels:].split([layer.channels for layer in self._modulated])
        for layer, shift in zip(self._modulated, shifts, strict=True):
            if layer.bias in keep_start:
                shift.zero_()  # a scale of weights near zero is near zero, a shift would not be
        self.heads = nn.Parameter(heads)
        self.base = nn.Parameter(torch.cat([value.flatten() for value in values]))
        self.to(self.base)

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        self._check_bound()
        shared = self._cut(self.base)
        sizes = [layer.channels for layer in self._modulated]
        scales, shifts = (self.heads @ self.embed(context)).chunk(2)
        modulated = {}
        for layer, scale, shift in zip(self._modulated, (1 + scales).split(sizes), shifts.split(sizes), strict=True):
            modulated[layer.weight] = _scaled(shared[layer.weight], scale, layer.groups)
            modulated[layer.bias] = _scaled(shared[layer.bias], scale, 0) + _along_first(shift, shared[layer.bias])
        return {name: modulated[name] for name in self.shapes}


def _bias_shape(module: Any) -> Any:
    if isinstance(module, _ConvNd):
        return module.out_channels
    return module.weight.shape[0] if isinstance(module, nn.Linear) else module.weight.shape


def _along_first(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *[1] * (target.dim() - 1))


def _scaled(weight: torch.Tensor, scale: torch.Tensor, groups: int) -> torch.Tensor:
    if not groups:
        return weight * _along_first(scale, weight)
    # A transposed convolution keeps (in, out / groups, *kernel), and each group of inputs has outputs of its own.
    by_group = weight.unflatten(0, (groups, -1))
    return (by_group * scale.view(groups, 1, -1, *[1] * (weight.dim() - 2))).view_as(weight)
