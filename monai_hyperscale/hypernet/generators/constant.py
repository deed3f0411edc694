"""One set of weights for every context: the baselines Stochastic and Fixed (SSHN section 4.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn as nn

from monai_hyperscale.hypernet.generators.base import FlatGenerator

__all__ = ["ConstantGenerator"]


class ConstantGenerator(FlatGenerator):
    """The same weights whatever φ is: nothing but the weights of the primary network themselves.

    With φ drawn anew at each step this is the baseline Stochastic, with one φ throughout it is Fixed; everything else
    that a :class:`HyperNetwork` goes through stays the same.

    Example:
        >>> generator = ConstantGenerator()
        >>> generator.bind({"weight": torch.ones(2)})
        >>> generator(torch.tensor([0.1]))["weight"].tolist(), generator(torch.tensor([0.5]))["weight"].tolist()
        ([1.0, 1.0], [1.0, 1.0])
    """

    def bind(self, parameters: Mapping[str, torch.Tensor], width: int = 1, keep_start: Collection[str] = ()) -> None:
        """Take these values as the weights; see :class:`WeightGenerator`."""
        # concatenation copies, so nothing is shared with the primary network.
        self.base = nn.Parameter(torch.cat([value.flatten() for value in self._remember(parameters)]))

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the weights, views of one flat vector; ``context`` is ignored."""
        self._check_bound()
        return self._cut(self.base)
