"""Weight generators h: from a context to the weights of a primary network (SSHN sections 3 and A.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.hypernet.encoding import encoding_layer

__all__ = ["INITS", "MLPGenerator", "WeightGenerator"]

INITS = ("residual", "paper", "paper_fan_out")


class WeightGenerator(nn.Module):
    """What a :class:`HyperNetwork` asks of a generator: be told the parameters once, then map contexts to weights."""

    def bind(self, parameters: Mapping[str, torch.Tensor], contexts: int = 1) -> None:
        """Allocate what is needed to generate these tensors.

        Args:
            parameters: names and initial values of the tensors to generate; they are the residual form's θ₀.
            contexts: how many numbers a context has: 1, or one per level.
        """
        raise NotImplementedError

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map a context (contexts,) to the bound tensors, by name."""
        raise NotImplementedError


class MLPGenerator(WeightGenerator):
    """A multilayer perceptron whose linear last layer gives every weight of the primary network.

    The heads of all tensors are one matrix H [P, k]: θ(φ) = b + H·e(φ), with e the last hidden layer. The size of
    the generator is about (k + 1) × P, so a narrow last layer (``hidden=(10, 16)``) makes it small; the paper's is
    ``hidden=(10, 100)``.

    Args:
        hidden: widths of the hidden layers; the last is k.
        encoding: ``complement`` ([φ, 1−φ], as in the paper), ``cosine`` (constant norm), or a module.
        init: ``residual`` (default): b = θ₀, the primary network's own initialisation, and small heads, so that the
            first forward pass is that of a well initialised network. ``paper``: b = 0 and Kaiming heads, which is
            fan-in where nothing else is said (SSHN section 4.4); ``paper_fan_out``: fan-out, as Amortized says
            (section 4), with each tensor's head a layer of its own (SSHN A.1). Without normalisation in the primary
            network the signal explodes with the one and vanishes with the other.
        head_scale: residual form only: the spread of H·e at initialisation relative to that of θ₀, per tensor and for
            an e of unit mean square (after Kaiming layers it comes out at about half that).

    Raises:
        ValueError: for an unknown encoding or init, or a width below 1.

    Example:
        >>> generator = MLPGenerator(hidden=(10, 16))
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> generator(torch.tensor([0.3]))["weight"].shape
        torch.Size([8, 1, 3, 3])
    """

    heads: nn.Parameter
    base: nn.Parameter

    def __init__(
        self,
        hidden: Sequence[int] = (10, 16),
        encoding: Union[str, nn.Module] = "complement",
        init: str = "residual",
        head_scale: float = 0.1,
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden needs at least one width of at least 1, got {tuple(hidden)}.")
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}.")
        self.hidden = tuple(hidden)
        self.encoding = encoding_layer(encoding)
        self.init = init
        self.head_scale = head_scale
        self.shapes: dict[str, torch.Size] = {}

    def bind(self, parameters: Mapping[str, torch.Tensor], contexts: int = 1) -> None:
        """Allocate the layers for these tensors and initialise them; see :class:`WeightGenerator`."""
        self.shapes = {name: value.shape for name, value in parameters.items()}
        self.contexts = contexts
        width = self.encoding.width(contexts)  # type: ignore[operator]
        layers = []
        for following in self.hidden:
            layer = nn.Linear(width, following)
            mode: Literal["fan_in", "fan_out"] = "fan_out" if self.init == "paper_fan_out" else "fan_in"
            nn.init.kaiming_normal_(layer.weight, a=0.01, mode=mode, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)
            layers.append(layer)
            width = following
        self.layers = nn.ModuleList(layers)
        # Never below float32: half precision loses the differences between nearby φ.
        values = [value.detach().to(torch.promote_types(value.dtype, torch.float32)) for value in parameters.values()]
        heads = [torch.randn(value.numel(), width) * self._head_std(value, width) for value in values]
        self.heads = nn.Parameter(torch.cat(heads))
        base = torch.cat([value.flatten() for value in values])
        self.base = nn.Parameter(base.clone() if self.init == "residual" else torch.zeros_like(base))
        # Drawn on the CPU, so that a seed gives the same weights on every device.
        self.to(base)

    def _head_std(self, value: torch.Tensor, width: int) -> float:
        if self.init == "residual":
            # e has about unit mean square per unit after Kaiming, so H·e has this standard deviation times √k.
            spread = float(value.std(correction=0))
            return self.head_scale * spread / math.sqrt(width)
        gain = nn.init.calculate_gain("linear")
        return gain / math.sqrt(value.numel() if self.init == "paper_fan_out" else width)

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Map a context (contexts,) to the last hidden layer e (k,)."""
        e = self.encoding(context)
        for layer in self.layers:
            e = F.leaky_relu(layer(e))
        return e

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map a context (contexts,) to the weights, views of one flat vector."""
        if not self.shapes:
            raise ValueError("the generator has not been bound to a primary network; wrap both in a HyperNetwork.")
        flat = torch.addmv(self.base, self.heads, self.embed(context))
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), flat.split(sizes), strict=True)
        return {name: part.view(shape) for (name, shape), part in parts}

    def extra_repr(self) -> str:
        """Show the settings in ``print(network)``."""
        return f"hidden={self.hidden}, init={self.init}, tensors={len(self.shapes)}"
