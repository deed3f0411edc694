"""The loss of registration: similarity after warping, smoothness of the field, and labels where there are some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import torch
import torch.nn as nn
from monai.losses import DiceLoss
from monai.networks import one_hot

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.losses.similarity import build_similarity
from monai_hyperscale.losses.smoothness import build_smoothness
from monai_hyperscale.registration.warping import check_field, warp

__all__ = ["RegistrationLoss"]


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
        window: int = 9,
        balance: bool = False,
        classes: Optional[int] = None,
    ) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("dice_weight", dice_weight)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} of the registration loss must be 0 or more, got {value!r}.")
        self.similarity = build_similarity(similarity, window)
        self.smoothness = build_smoothness(smoothness)
        self.dice = DiceLoss()  # of the foreground alone, which is all it is given
        self.weight = weight
        self.dice_weight = dice_weight
        self.balance = balance
        self.classes = classes

    def forward(self, field: torch.Tensor, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a field, a scalar.

        Args:
            field: (B, D, *sizes) in voxels.
            target: ``moving`` and ``fixed``, (B, C, *sizes); and for Dice ``moving_label`` and ``fixed_label``, label
                maps (B, 1, *sizes) or one-hot maps.

        Raises:
            RegistrationError: if these do not fit together.
        """
        parts = self.parts(field, target)
        scale = 1 - self.weight if self.balance else 1.0
        total = scale * parts["similarity"] + self.weight * parts["smoothness"]
        if "dice" in parts:
            total = total + self.dice_weight * parts["dice"]
        return total

    def parts(self, field: torch.Tensor, target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return what the loss is made of, before weighting: ``similarity``, ``smoothness``, ``dice``.

        Dice only where it has a weight and there are labels.

        Raises:
            RegistrationError: see :meth:`forward`.
        """
        check_field(field)
        field = field.float() if field.element_size() < 4 else field
        moving, fixed = target["moving"].to(field.dtype), target["fixed"].to(field.dtype)
        parts = {"similarity": self.similarity(warp(moving, field), fixed), "smoothness": self.smoothness(field)}
        if self.dice_weight and "moving_label" in target and "fixed_label" in target:
            parts["dice"] = self._dice(field, target["moving_label"], target["fixed_label"])
        return parts

    def _dice(self, field: torch.Tensor, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        maps = []
        if moving.shape[1] == 1 and fixed.shape[1] == 1:
            classes = self.classes or int(max(moving.max(), fixed.max())) + 1
            for label in (moving, fixed):
                maps.append(one_hot(label, max(classes, 2))[:, 1:])
        else:
            maps = [moving[:, 1:].float(), fixed[:, 1:].float()]
        return self.dice(warp(maps[0].to(field.dtype), field), maps[1].to(field.dtype))
