"""Whether what a file computes is what the network computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

__all__ = ["TOLERANCE", "Agreement", "compare"]

#: Largest difference to the source network that a file may have, in units of the source's largest absolute value.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Agreement:
    """How well two networks agree.

    Attributes:
        difference: largest absolute difference, in units of the reference's largest absolute value.
        labels: share of voxels whose greatest channel is the same, 0 to 1; ``None`` where channels are no labels.
        shapes: of the inputs that were compared.
    """

    difference: float
    labels: float | None
    shapes: tuple[tuple[int, ...], ...]

    @property
    def holds(self) -> bool:
        """Whether the difference is within :data:`TOLERANCE`."""
        return self.difference <= TOLERANCE


def compare(
    reference: Callable[[torch.Tensor], torch.Tensor],
    candidate: Callable[[torch.Tensor], torch.Tensor],
    inputs: Sequence[torch.Tensor],
    labels: bool = True,
) -> Agreement:
    """Compare two networks on images.

    The candidate runs twice on each, since TorchScript optimises a network after its first run. A difference that is
    not a number, and an output of another shape, count as infinite.

    Args:
        reference: maps (B, C, *sizes) to (B, C', *sizes).
        candidate: the same.
        inputs: images (B, C, *sizes); at least one.
        labels: whether the channels are those of labels.

    Example:
        >>> x = torch.tensor([[[1.0, -4.0]]])
        >>> round(compare(torch.neg, lambda x: -x + 0.002, [x], labels=False).difference, 6)
        0.0005
    """
    if not inputs:
        raise ValueError("there must be an image to compare on.")
    difference, same, voxels = 0.0, 0, 0
    for x in inputs:
        # Not inference mode, whose tensors some runtimes refuse.
        with torch.no_grad():
            expected = reference(x)
            candidate(x)
            found = candidate(x)
        if found.shape != expected.shape:
            difference = math.inf
            continue
        largest = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
        difference = max(difference, largest if math.isfinite(largest) else math.inf)
        if labels:
            same += int((found.argmax(1) == expected.argmax(1)).sum())
        voxels += expected[:, 0].numel()
    share = same / voxels if labels and voxels else None
    return Agreement(difference, share, tuple(tuple(x.shape) for x in inputs))
