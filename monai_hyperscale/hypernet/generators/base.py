"""What all weight generators share, and the two simplest of them: no change with the context, and a linear one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Optional, Union

import torch
import torch.nn as nn

from monai_hyperscale.hypernet.encoding import encoding_layer


class WeightGenerator(nn.Module):
    """What a :class:`HyperNetwork` asks of a generator: be told the parameters once, then map contexts to weights."""

    def prepare(self, layers: Mapping[str, nn.Module]) -> list[str]:
        """Look at the layers of the primary network, by the selected parameter, before the parameters leave them.

        A generator may add parameters to a layer, as a missing bias. Returns the names of all to generate.
        """
        return list(layers)

    def bind(self, parameters: Mapping[str, torch.Tensor], width: int = 1, keep_start: Collection[str] = ()) -> None:
        """Allocate what is needed to generate these tensors.

        Args:
            parameters: names and initial values of the tensors to generate; they are the residual form's θ₀.
            width: how many values a context has, see :class:`ContextSpec`.
            keep_start: names of those that start as large as they are, whatever the generator's initialisation is, such
                as weights near zero in front of a displacement field.
        """
        raise NotImplementedError

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map the values of a context (width,) to the bound tensors, by name."""
        raise NotImplementedError


class FlatGenerator(WeightGenerator):
    """Keeps θ₀ of all tensors as one vector ``base`` (P,), and cuts such a vector into the tensors."""

    base: nn.Parameter

    def __init__(self) -> None:
        super().__init__()
        self.shapes: dict[str, torch.Size] = {}

    def _remember(self, parameters: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        # Never below float32: half precision loses the differences between nearby φ.
        self.shapes = {name: value.shape for name, value in parameters.items()}
        return [value.detach().to(torch.promote_types(value.dtype, torch.float32)) for value in parameters.values()]

    def _cut(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        # One flat vector (P,) as the tensors by name: views of it.
        parts = flat.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def _check_bound(self) -> None:
        if not self.shapes:
            raise ValueError("the generator has not been bound to a primary network; wrap both in a HyperNetwork.")

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"tensors={len(self.shapes)}"


class ConstantGenerator(FlatGenerator):
    """The weights of the primary network themselves, whatever φ is.

    With φ drawn anew at each step this is SSHN's baseline Stochastic, with one φ throughout it is Fixed (section 4.3).

    Example:
        >>> generator = ConstantGenerator()
        >>> generator.bind({"weight": torch.ones(2)})
        >>> generator(torch.tensor([0.1]))["weight"].tolist(), generator(torch.tensor([0.5]))["weight"].tolist()
        ([1.0, 1.0], [1.0, 1.0])
    """

    def bind(self, parameters: Mapping[str, torch.Tensor], width: int = 1, keep_start: Collection[str] = ()) -> None:
        # concatenation copies, so nothing is shared with the primary network.
        self.base = nn.Parameter(torch.cat([value.flatten() for value in self._remember(parameters)]))

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        self._check_bound()
        return self._cut(self.base)


class HeadsGenerator(FlatGenerator):
    """θ = θ₀ + e(context)·H, with the heads H [k, P] of all tensors in one matrix and θ₀ as learned as H is.

    H has few rows and millions of columns: its gradient takes a third of the time that it takes the other way round.
    A subclass says what e is: :meth:`build` and :meth:`embed`.

    Args:
        head_scale: the spread of e·H at initialisation relative to that of θ₀, tensor by tensor; at 0 the generator
            starts as one network for every context. A constant tensor, as a bias of zeros, starts with no change.
        reference: context, the same for every level, at which the weights stay θ₀, however the heads are trained:
            θ = θ₀ + (e − e(reference))·H. A network trained for that φ alone keeps what it does there. ``None``: none.
    """

    heads: nn.Parameter

    def __init__(self, head_scale: float = 0.1, reference: Optional[float] = None) -> None:
        super().__init__()
        self.head_scale = head_scale
        self.reference = reference

    def build(self, width: int) -> tuple[int, float]:
        """Allocate what :meth:`embed` needs; return the length k of e, and the ‖e‖² that ``head_scale`` is for."""
        raise NotImplementedError

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        """Map the values of a context (width,) to e (k,)."""
        raise NotImplementedError

    def change(self, context: torch.Tensor) -> torch.Tensor:
        """Map the values of a context (width,) to what the heads multiply (k,): e, less that of the reference."""
        e = self.embed(context)
        return e if self.reference is None else e - self.embed(torch.full_like(context, self.reference))

    def bind(self, parameters: Mapping[str, torch.Tensor], width: int = 1, keep_start: Collection[str] = ()) -> None:
        values = self._remember(parameters)
        k, energy = self.build(width)
        # Tensor by tensor: a copy of the heads of a large 3D network would be gigabytes.
        heads = torch.empty(k, sum(value.numel() for value in values))
        parts = heads.split([value.numel() for value in values], dim=1)
        for name, part, value in zip(self.shapes, parts, values, strict=True):
            std = self._head_std(value, k, energy, name in keep_start)
            part.copy_(torch.randn(value.numel(), k).mul_(std).t())
        self.heads = nn.Parameter(heads)
        self.base = nn.Parameter(self._start(torch.cat([value.flatten() for value in values])))
        # Drawn on the CPU, so that a seed gives the same weights on every device.
        self.to(self.base)

    def _head_std(self, value: torch.Tensor, k: int, energy: float, keeps_start: bool) -> float:
        return self.head_scale * float(value.std(correction=0)) / math.sqrt(energy)

    def _start(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        self._check_bound()
        return self._cut(torch.addmm(self.base[None], self.change(context)[None], self.heads).view(-1))

    def extra_repr(self) -> str:
        return f"head_scale={self.head_scale:g}, {super().extra_repr()}"


class LinearGenerator(HeadsGenerator):
    """θ(c) = θ₀ + c·H: one linear layer from the context to every weight, as SAN's meta learners (section 3.1).

    With one value the generator has twice the weights of the primary network, the smallest that depends on φ.

    Args:
        encoding: ``identity`` (default), ``complement``, or a module: SAN's ε of an input size is
            ``IdentityEncoding(scale=0.1 / 32)``. An unknown one is a ``ValueError``.
        head_scale: the spread of c·H at initialisation relative to that of θ₀, per tensor and at c = 1.
        reference: context at which the weights stay θ₀, see :class:`HeadsGenerator`.

    Example:
        >>> generator = LinearGenerator()
        >>> generator.bind({"weight": torch.randn(8, 1, 3, 3)})
        >>> at = [generator(torch.tensor([phi]))["weight"] for phi in (0.0, 0.25, 0.5)]
        >>> torch.allclose(at[1], (at[0] + at[2]) / 2, atol=1e-6)
        True
    """

    def __init__(
        self, encoding: Union[str, nn.Module] = "identity", head_scale: float = 0.1, reference: Optional[float] = None
    ) -> None:
        super().__init__(head_scale, reference)
        self.encoding = encoding_layer(encoding)

    def build(self, width: int) -> tuple[int, float]:
        return self.encoding.width(width), float(width)  # type: ignore[operator]

    def embed(self, context: torch.Tensor) -> torch.Tensor:
        return self.encoding(context)
