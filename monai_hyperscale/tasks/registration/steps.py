"""What an iteration of a registration's training does beyond MONAI's own: pairs in, and one λ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

import torch
from ignite.engine import Engine, Events
from monai.engines import PrepareBatch

__all__ = ["PreparePair", "RegularizationWeight", "field_and_target"]


class PreparePair(PrepareBatch):
    """Make what MONAI's engines expect of a batch of pairs: the network's input, and what the loss compares.

    Example:
        >>> batch = {"moving": torch.rand(2, 1, 9, 7), "fixed": torch.rand(2, 1, 9, 7), "name": ["a to b", "b to a"]}
        >>> images, target = PreparePair()(batch)
        >>> images.shape, sorted(target)
        (torch.Size([2, 2, 9, 7]), ['fixed', 'moving'])
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: Optional[Union[str, torch.device]] = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return images (B, 2C, *sizes), the moving one's channels first, and the batch's tensors by name.

        Args:
            batchdata: ``moving`` and ``fixed``, (B, C, *sizes), and what else a :class:`PairDataset` holds.
            device: where to.
            non_blocking: as for ``torch.Tensor.to``.
            kwargs: further arguments of ``torch.Tensor.to``.
        """
        target = {
            name: value.to(device=device, non_blocking=non_blocking, **kwargs)
            for name, value in batchdata.items()
            if isinstance(value, torch.Tensor)
        }
        return torch.cat([target["moving"], target["fixed"]], dim=1), target


class RegularizationWeight:
    """Set the loss's weight of smoothness to the λ of the iteration, which the generator sees too (HyperMorph).

    Args:
        loss: with a ``weight``, such as :class:`RegistrationLoss`; it stays as it is where no λ is drawn.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Act at the start of every iteration of ``engine``; attach after :class:`PhiSampler`."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the weight of this iteration."""
        (context,) = engine.state.contexts  # type: ignore[attr-defined]
        self.loss.weight = context.get("regularization", self.loss.weight)


def field_and_target(output: Mapping[str, Any]) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
    """Return what :class:`PairMeasures` takes of an engine's output."""
    return output["pred"], output["label"]
