"""Refinement of the field of one pair by gradient descent, from where the network left it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.registration.fields import resize_field
from monai_hyperscale.registration.warping import check_field


class Refinement(NamedTuple):
    """A field (B, D, *sizes), displacement or velocity, in voxels, and its loss before and after optimisation."""

    field: torch.Tensor
    before: float
    after: float


def optimize_instance(
    field: torch.Tensor,
    target: Mapping[str, torch.Tensor],
    loss: Callable[[torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor],
    steps: int,
    displacement: Callable[[torch.Tensor], torch.Tensor] = lambda field: field,
    learning_rate: float = 0.1,
) -> Refinement:
    """Lower the loss of one pair by changing its field (VoxelMorph's instance-specific optimisation, with Adam).

    What is optimised is a change of the field on a grid of half the size, which makes it smoother than one number per
    voxel would be. The best field of all steps is returned, the first one included. A loss that is not finite, or
    ``steps`` below 0, is a :class:`RegistrationError`.

    ``field`` (B, D, *sizes), voxels, is where it starts, the network's displacement or velocity, which ``displacement``
    takes to the displacement field. ``loss`` is of that and ``target``, such as :class:`RegistrationLoss` of ``moving``
    and ``fixed`` (B, C, *sizes). ``learning_rate`` is Adam's, in voxels of the half grid per step.

    Example:
        >>> def miss(field, pair):
        ...     return (field[:, 1] - 0.5).square().mean()
        >>> optimize_instance(torch.zeros(1, 2, 12, 16), {}, miss, steps=10).after < 0.25
        True
    """
    check_field(field)
    if steps < 0:
        raise RegistrationError(f"the steps of the optimisation must be 0 or more, got {steps}.")
    sizes = list(field.shape[2:])
    start = field.detach()
    with torch.enable_grad():
        change = start.new_zeros([*start.shape[:2], *[(n + 1) // 2 for n in sizes]]).requires_grad_()
        optimizer = torch.optim.Adam([change], lr=learning_rate)
        best, values = start, []
        for step in range(steps + 1):
            current = start + resize_field(change, sizes)
            value = loss(displacement(current), target)
            values.append(float(value.detach()))
            if values[-1] == min(values):
                best = current.detach()
            if not torch.isfinite(value):
                break
            if step < steps:
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
    if not math.isfinite(sum(values)):
        raise RegistrationError("the loss of this pair is not a finite number; check the voxels of both images.")
    return Refinement(best, values[0], min(values))
