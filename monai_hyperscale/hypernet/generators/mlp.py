"""A perceptron from the context to every weight (SSHN sections 3 and A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Optional, Union

import torch
import torch.nn as nn
from monai.networks.layers.utils import get_act_layer

from monai_hyperscale.hypernet.encoding import encoding_layer
from monai_hyperscale.hypernet.generators.base import HeadsGenerator

_INITS = ("residual", "paper", "paper_fan_out")


class MLPGenerator(HeadsGenerator):
    """A multilayer perceptron whose linear last layer gives every weight of the primary network.

    θ(φ) = b + e(φ)·H, with e the last hidden layer and the heads of all tensors one matrix H [k, P]. The generator has
    about (k + 1) × P weights, so a narrow last layer (``hidden=(10, 8)``) makes it small; the paper's is (10, 100).
    An unknown option is a ``ValueError``.

    Args:
        hidden: widths of the hidden layers; the last is k.
        encoding: ``complement`` ([φ, 1−φ], as in the paper), ``identity`` or a module.
        init: ``residual`` (default): b = θ₀, the primary network's own initialisation, and small heads, so that the
            first forward pass is that of a well initialised network. ``paper``: b = 0 and Kaiming heads, fan-in where
            nothing else is said (SSHN section 4.4); ``paper_fan_out``: fan-out, as Amortized says (section 4), with
            each tensor's head a layer of its own (SSHN A.1). Without normalisation in the primary network the signal
            explodes with the one and vanishes with the other.
        head_scale: residual form only: the spread of e·H at initialisation relative to that of θ₀, per tensor and for
            an e of unit mean square (after Kaiming layers it comes out at about half that).
        activation: of the hidden layers, a name of MONAI's or (name, options); the papers' is LeakyReLU.
        reference: φ at which the weights stay θ₀, see :class:`HeadsGenerator`.

    Example:
        >>> generator = MLPGenerator(hidden=(10, 8))
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> generator(torch.tensor([0.3]))["weight"].shape
        torch.Size([8, 1, 3, 3])
    """

    def __init__(
        self,
        hidden: Sequence[int] = (10, 16),
        encoding: Union[str, nn.Module] = "complement",
        init: str = "residual",
        head_scale: float = 0.1,
        activation: Union[str, Sequence[Any]] = "leakyrelu",
        reference: Optional[float] = None,
    ) -> None:
        super().__init__(head_scale, reference)
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden needs at least one width of at least 1, got {tuple(hidden)}.")
        if init not in _INITS:
            raise ValueError(f"init must be one of {', '.join(_INITS)}, got {init!r}.")
        self.hidden = tuple(hidden)
        self.encoding = encoding_layer(encoding)
        self.init = init
        try:
            self.activation = get_act_layer(activation if isinstance(activation, str) else tuple(activation))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"activation must be a name of MONAI's activations, got {activation!r}: {error}."
            ) from None
        if reference is not None and init != "residual":
            raise ValueError(f"reference needs init='residual', got {init!r}.")

    def build(self, width: int) -> tuple[int, float]:
        # k, twice: after Kaiming e has about unit mean square.
        inputs = self.encoding.width(width)  # type: ignore[operator]
        layers = []
        for following in self.hidden:
            layer = nn.Linear(inputs, following)
            mode: Literal["fan_in", "fan_out"] = "fan_out" if self.init == "paper_fan_out" else "fan_in"
            nn.init.kaiming_normal_(layer.weight, a=0.01, mode=mode, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)
            layers.append(layer)
            inputs = following
        self.layers = nn.ModuleList(layers)
        return inputs, float(inputs)

    def _head_std(self, value: torch.Tensor, k: int, energy: float, keeps_start: bool) -> float:
        if self.init == "residual":
            return super()._head_std(value, k, energy, keeps_start)
        gain = nn.init.calculate_gain("linear")
        if keeps_start:
            # As HyperMorph: a layer that starts near zero does so generated, too.
            return gain * float(value.std(correction=0)) / math.sqrt(k)
        return gain / math.sqrt(value.numel() if self.init == "paper_fan_out" else k)

    def _start(self, values: torch.Tensor) -> torch.Tensor:
        return values if self.init == "residual" else torch.zeros_like(values)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        e = self.encoding(context)
        for layer in self.layers:
            e = self.activation(layer(e))
        return e

    def extra_repr(self) -> str:
        return f"hidden={self.hidden}, init={self.init}, tensors={len(self.shapes)}"
