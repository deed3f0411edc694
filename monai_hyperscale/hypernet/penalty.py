"""A penalty on the weights that a generator makes (HyperResNet section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn as nn

from monai_hyperscale.errors import TrainingError
from monai_hyperscale.hypernet.generators import WeightGenerator


class GeneratedWeightPenalty(nn.Module):
    """A loss with ‖θ(φ)‖² of the generated weights added: what weight decay is for a plain network.

    The paper writes "the 2-norm"; its comparison with weight decay, and the size of the factor, speak for the square.
    The penalty sees the very weights of the forward passes since its last call: nothing is generated twice, but what
    else generates weights with gradients in between counts too. Without gradients it is the loss alone.

    Args:
        loss: any loss, called as this one is.
        network: the hypernetwork, or a network with hypernetworks inside, else a ``ValueError``.
        weight: factor of the penalty; at least 0; the paper's is 6.25e-5. At 0 nothing is watched.

    Example:
        >>> from monai_hyperscale.hypernet import ConstantGenerator, HyperNetwork
        >>> net = HyperNetwork(nn.Conv2d(1, 1, 1), ConstantGenerator())
        >>> loss = GeneratedWeightPenalty(nn.MSELoss(), net, weight=1.0)
        >>> y = net(torch.zeros(1, 1, 2, 2), phi=0.5)
        >>> torch.allclose(loss(y, y), sum(w.square().sum() for w in net.generate(0.5).values()))
        True
    """

    def __init__(self, loss: Callable[..., torch.Tensor], network: nn.Module, weight: float = 6.25e-5) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"weight must be 0 or more, got {weight}.")
        generators = [module for module in network.modules() if isinstance(module, WeightGenerator)]
        if not generators:
            raise ValueError(f"{type(network).__name__} has no weight generator; use the loss alone.")
        self.loss = loss
        self.weight = weight
        self._records = [_Record() for _ in generators] if weight else []
        for generator, record in zip(generators, self._records, strict=False):
            generator.register_forward_hook(record)

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the loss of these arguments plus the penalty on the weights of the forward passes before it.

        Of several passes the mean square of the norm counts; a :class:`TrainingError` if there was none with gradients.
        """
        value = self.loss(*args, **kwargs)
        if not self._records or not torch.is_grad_enabled():
            return value
        return value + self.weight * torch.stack([_mean_square_norm(record.take()) for record in self._records]).sum()

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"weight={self.weight:g}"


def _mean_square_norm(passes: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
    squares = []
    for weights in passes:
        norms = torch.stack([torch.linalg.vector_norm(weight) for weight in weights.values()])
        squares.append(torch.linalg.vector_norm(norms).square())
    return torch.stack(squares).mean()


class _Record:
    """Holds what a generator makes until it is taken. A copy, as of an averaged network, starts empty."""

    def __init__(self) -> None:
        self.passes: list[Mapping[str, torch.Tensor]] = []

    def __call__(self, generator: nn.Module, args: Any, weights: Mapping[str, torch.Tensor]) -> None:
        if torch.is_grad_enabled():
            self.passes.append(weights)

    def take(self) -> list[Mapping[str, torch.Tensor]]:
        passes, self.passes = self.passes, []
        if not passes:
            raise TrainingError(
                "the penalty found no weights generated since its last call; call the network that it watches, with "
                "gradients, before each call of the loss."
            )
        return passes

    def __reduce__(self) -> tuple[type[_Record], tuple[()]]:
        return _Record, ()
