"""The loss of registration: similarity after warping, smoothness of the field, and labels where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Union

import torch
import torch.nn as nn
from monai.losses import DiceLoss
from monai.networks import one_hot

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.losses.similarity import build_similarity
from monai_hyperscale.losses.smoothness import build_smoothness
from monai_hyperscale.registration.fields import compose
from monai_hyperscale.registration.warping import check_field, warp

__all__ = ["RegistrationLoss"]

#: A field (B, D, *sizes), or two: of moving to fixed, and of fixed to moving.
Fields = Union[torch.Tensor, Sequence[torch.Tensor]]


class RegistrationLoss(nn.Module):
    """Similarity of the warped moving image to the fixed one, plus the roughness of the field (VoxelMorph, SSHN 4.1).

    ``similarity + weight·smoothness``, or with ``balance`` HyperMorph's ``(1 − weight)·similarity +
    weight·smoothness``. In both, ``weight`` may be set anew at each step, as where λ is drawn with φ.

    Args:
        similarity: ``mse`` (as SSHN), ``lncc`` or ``mi``; see :mod:`monai_hyperscale.losses.similarity`.
        smoothness: ``tv`` (as SSHN), ``gradient`` (as VoxelMorph) or ``bending``.
        weight: λ, of the smoothness. VoxelMorph takes 0.01 with MSE and 1 with local NCC.
        dice_weight: of soft Dice of the labels' foreground, warped linearly as one-hot maps (VoxelMorph's
            semi-supervised form); 0 leaves labels alone, and so do pairs without them.
        inverse_weight: of the inverse consistency: the mean square, in voxels², of what is left of a point that goes
            there by one field and back by the other. Needs the field of the swapped pair too.
        window: of ``lncc``, voxels.
        balance: whether similarity is weighted with 1 − λ.
        classes: number of labels with the background; default: one more than the largest in the batch.

    Raises:
        ConfigError: for a name or a weight that cannot be.

    Example:
        >>> moving, fixed = torch.rand(1, 1, 9, 7), torch.rand(1, 1, 9, 7)
        >>> loss = RegistrationLoss(smoothness="gradient", weight=0.01)
        >>> same = loss(torch.zeros(1, 2, 9, 7), {"moving": moving, "fixed": fixed})
        >>> torch.equal(same, (moving - fixed).square().mean())
        True
    """

    def __init__(
        self,
        similarity: str = "mse",
        smoothness: str = "tv",
        weight: float = 0.01,
        dice_weight: float = 0.0,
        inverse_weight: float = 0.0,
        window: int = 9,
        balance: bool = False,
        classes: Optional[int] = None,
    ) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("dice_weight", dice_weight), ("inverse_weight", inverse_weight)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} of the registration loss must be 0 or more, got {value!r}.")
        self.similarity = build_similarity(similarity, window)
        self.smoothness = build_smoothness(smoothness)
        self.dice = DiceLoss()  # of the foreground alone, which is all it is given
        self.weight = weight
        self.dice_weight = dice_weight
        self.inverse_weight = inverse_weight
        self.balance = balance
        self.classes = classes

    def forward(self, field: Fields, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a field, a scalar.

        Args:
            field: (B, D, *sizes) in voxels; with ``inverse_weight`` also that of the swapped pair, as a pair of fields.
            target: ``moving`` and ``fixed``, (B, C, *sizes); and for Dice ``moving_label`` and ``fixed_label``, label
                maps (B, 1, *sizes) or one-hot maps.

        Raises:
            RegistrationError: if these do not fit together, or the second field is missing.
        """
        parts = self.parts(field, target)
        scale = 1 - self.weight if self.balance else 1.0
        total = scale * parts["similarity"] + self.weight * parts["smoothness"]
        if "dice" in parts:
            total = total + self.dice_weight * parts["dice"]
        if "inverse" in parts:
            total = total + self.inverse_weight * parts["inverse"]
        return total

    def parts(self, field: Fields, target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return what the loss is made of, before weighting: ``similarity``, ``smoothness``, ``dice``, ``inverse``.

        The last two only where they have a weight, and Dice only where there are labels.

        Raises:
            RegistrationError: see :meth:`forward`.
        """
        forward, backward = self._directions(field)
        moving, fixed = target["moving"].to(forward.dtype), target["fixed"].to(forward.dtype)
        parts = {
            "similarity": self.similarity(warp(moving, forward), fixed),
            "smoothness": self.smoothness(forward),
        }
        if self.dice_weight and "moving_label" in target and "fixed_label" in target:
            parts["dice"] = self._dice(forward, target["moving_label"], target["fixed_label"])
        if backward is not None and self.inverse_weight:
            left = torch.stack([compose(forward, backward), compose(backward, forward)])
            # Averaged over voxels, summed over components: a squared distance.
            parts["inverse"] = left.square().sum(2).mean()
        return parts

    def _directions(self, field: Fields) -> tuple[torch.Tensor, Optional[torch.Tensor]]:
        fields = [field] if isinstance(field, torch.Tensor) else list(field)
        if not fields or len(fields) > 2:
            raise RegistrationError(f"the loss takes one field or two, of both directions, got {len(fields)}.")
        if self.inverse_weight and len(fields) == 1:
            raise RegistrationError(
                "inverse consistency needs two fields, of moving to fixed and of fixed to moving, got one; run the "
                "network on the swapped pair too, see both_directions."
            )
        for each in fields:
            check_field(each)
        wide = [each.float() if each.element_size() < 4 else each for each in fields]
        return wide[0], wide[1] if len(wide) == 2 else None

    def _dice(self, field: torch.Tensor, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        maps = []
        if moving.shape[1] == 1 and fixed.shape[1] == 1:
            classes = self.classes or int(max(moving.max(), fixed.max())) + 1
            for label in (moving, fixed):
                maps.append(one_hot(label, max(classes, 2))[:, 1:])
        else:
            maps = [moving[:, 1:].float(), fixed[:, 1:].float()]
        return self.dice(warp(maps[0].to(field.dtype), field), maps[1].to(field.dtype))
