"""Losses of registration: how alike images are after warping, how rough the field is, labels, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.losses import DiceLoss, GlobalMutualInformationLoss
from monai.networks import one_hot

from monai_hyperscale.errors import ConfigError, RegistrationError
from monai_hyperscale.registration.warping import check_field, warp

__all__ = [
    "SIMILARITIES",
    "SMOOTHNESS",
    "BendingEnergy",
    "LocalNCC",
    "RegistrationLoss",
    "SquaredGradient",
    "TotalVariation",
]

# Standard deviation below which a window has no contrast, for intensities in [0, 1].
_FLAT = 0.01


class LocalNCC(nn.Module):
    """Local normalised cross-correlation, squared and negated: −1 where every window agrees up to scale and offset.

    Windows, of an odd number of voxels along every edge, are cut off at the image's border. Neither MONAI's loss, which
    fills them up with zeros that correlate, nor neurite's: without contrast in a window, the one takes the rounding
    errors of its sums for correlation (−232 was seen), the other raises. Here variances have a floor, so such windows
    count as 0 and have next to no gradient.

    Example:
        >>> image = torch.rand(1, 1, 20, 20)
        >>> torch.allclose(LocalNCC()(1 - 0.5 * image, image), torch.tensor(-1.0), atol=1e-4)
        True
    """

    def __init__(self, window: int = 9) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ConfigError(f"the window of local NCC must be an odd number of voxels, got {window!r}.")
        self.window = window

    def forward(self, moved: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Compare images (B, C, *sizes) of one shape with intensities in [0, 1]; a scalar in [−1, 0]."""
        # An offset changes nothing but the rounding errors.
        axes = list(range(1, moved.dim()))
        a, b = (image - image.detach().mean(axes, keepdim=True) for image in (_wide(moved), _wide(fixed)))
        moments = torch.stack([a, b, a * a, b * b, a * b], dim=1).flatten(1, 2)
        mean_a, mean_b, aa, bb, ab = self._window_means(moments).chunk(5, dim=1)
        variances = [(square - mean.square()).clamp(min=_FLAT**2) for square, mean in ((aa, mean_a), (bb, mean_b))]
        return -((ab - mean_a * mean_b).square() / (variances[0] * variances[1])).mean()

    def _window_means(self, maps: torch.Tensor) -> torch.Tensor:
        # Running sums along each axis in turn: half the time of pooling, and the same at any size of the window.
        for axis in range(2, maps.dim()):
            shape = [1] * maps.dim()
            shape[axis] = maps.shape[axis]
            maps = self._window_sums(maps, axis) / self._window_sums(maps.new_ones(shape), axis)
        return maps

    def _window_sums(self, maps: torch.Tensor, axis: int) -> torch.Tensor:
        n, half = maps.shape[axis], self.window // 2
        sums = F.pad(maps, [0, 0] * (maps.dim() - 1 - axis) + [half + 1, half]).cumsum(axis)
        return sums.narrow(axis, self.window, n) - sums.narrow(axis, 0, n)


def _wide(image: torch.Tensor) -> torch.Tensor:
    return image if image.dtype == torch.float64 else image.float()


class _FirstDerivatives(nn.Module):
    """The mean over voxels, components and axes of what a penalty makes of the differences between neighbours.

    Forward differences, not the central ones of MONAI's ``DiffusionLoss``, which do not see a checkerboard. An axis
    of one voxel has none and does not count.
    """

    penalty: Callable[[torch.Tensor], torch.Tensor]

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map a field (B, D, *sizes) in voxels to a scalar, without unit."""
        check_field(field)
        axes = [axis for axis in range(2, field.dim()) if field.shape[axis] > 1]
        means = [self.penalty(field.diff(dim=axis)).mean() for axis in axes]
        return torch.stack(means).mean() if means else 0 * field.sum()  # smooth, and still part of the graph


class TotalVariation(_FirstDerivatives):
    """Total variation, the L1 form: the mean of |u(x+1) − u(x)|.

    It lets neighbouring parts move differently where that pays. SSHN says "total variation" (section 4.1) and points
    to VoxelMorph, which takes :class:`SquaredGradient`; this is what the name says.

    Example:
        >>> field = torch.zeros(1, 2, 4, 4)
        >>> field[:, 0, 2:] = 3.0  # one step of 3 among the 3 × 4 differences of one component along one axis
        >>> TotalVariation()(field), SquaredGradient()(field)
        (tensor(0.2500), tensor(0.7500))
    """

    penalty = staticmethod(torch.abs)


class SquaredGradient(_FirstDerivatives):
    """The mean of the squared differences between neighbours (VoxelMorph's regularisation)."""

    penalty = staticmethod(torch.square)


class BendingEnergy(nn.Module):
    """The mean over inner voxels of all squared second derivatives (Rueckert et al. 1999). Affine fields cost nothing.

    The same as MONAI's ``BendingEnergyLoss``, whose indexing torch warns of and is to read otherwise one day. An axis
    of less than three voxels has no second derivatives and does not count.

    Example:
        >>> field = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(1, 2, 1, 1)
        >>> BendingEnergy()(field), BendingEnergy()(field.square())
        (tensor(0.), tensor(1156.))
    """

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map a field (B, D, *sizes) in voxels to a scalar, per voxel²."""
        check_field(field)
        axes = [axis for axis in range(2, field.dim()) if field.shape[axis] > 2]

        def near(*steps: tuple[int, int]) -> torch.Tensor:
            # What lies so many steps along the axes named from each inner voxel.
            values = field
            for axis in axes:
                values = values.narrow(axis, 1 + dict(steps).get(axis, 0), field.shape[axis] - 2)
            return values

        energy = 0 * near()
        for a in axes:
            energy = energy + (near((a, 1)) - 2 * near() + near((a, -1))).square()
        for a, b in combinations(axes, 2):
            mixed = near((a, 1), (b, 1)) - near((a, 1), (b, -1)) - near((a, -1), (b, 1)) + near((a, -1), (b, -1))
            energy = energy + 2 * (mixed / 4).square()
        return energy.mean()


#: How alike two images are, the smaller the more, by the names that a configuration takes.
SIMILARITIES: dict[str, type[nn.Module]] = {"mse": nn.MSELoss, "lncc": LocalNCC, "mi": GlobalMutualInformationLoss}

#: How rough a field is, likewise.
SMOOTHNESS: dict[str, type[nn.Module]] = {"tv": TotalVariation, "gradient": SquaredGradient, "bending": BendingEnergy}


class RegistrationLoss(nn.Module):
    """Similarity of the warped moving image to the fixed one, plus the roughness of the field (VoxelMorph, SSHN 4.1).

    ``similarity + weight·smoothness``, or with ``balance`` HyperMorph's ``(1 − weight)·similarity +
    weight·smoothness``. In both, ``weight`` may be set anew at each step, as where λ is drawn with φ. A name or a
    weight that cannot be is a :class:`ConfigError`.

    Args:
        similarity: ``mse`` (as SSHN), ``lncc`` (:class:`LocalNCC`) or ``mi`` (mutual information, across contrasts).
        smoothness: ``tv`` (as SSHN), ``gradient`` (as VoxelMorph) or ``bending``.
        weight: λ, of the smoothness. VoxelMorph takes 0.01 with MSE and 1 with local NCC.
        dice_weight: of soft Dice of the labels' foreground, warped linearly as one-hot maps (VoxelMorph's
            semi-supervised form); 0 leaves labels alone, and so do pairs without them.
        window: of ``lncc``, voxels.
        balance: whether similarity is weighted with 1 − λ.
        classes: number of labels with the background; default: one more than the largest in the batch.

    Example:
        >>> pair = {"moving": torch.rand(1, 1, 9, 7), "fixed": torch.rand(1, 1, 9, 7)}
        >>> same = RegistrationLoss(weight=0.01)(torch.zeros(1, 2, 9, 7), pair)
        >>> torch.equal(same, (pair["moving"] - pair["fixed"]).square().mean())
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
        for kind, chosen, known in (("similarity", similarity, SIMILARITIES), ("smoothness", smoothness, SMOOTHNESS)):
            if chosen not in known:
                raise ConfigError(f"{kind} must be one of {', '.join(known)}, got {chosen!r}.")
        self.similarity = LocalNCC(window) if similarity == "lncc" else SIMILARITIES[similarity]()
        self.smoothness = SMOOTHNESS[smoothness]()
        self.dice = DiceLoss()  # of the foreground alone, which is all it is given
        self.weight = weight
        self.dice_weight = dice_weight
        self.balance = balance
        self.classes = classes

    def forward(self, field: torch.Tensor, target: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a field (B, D, *sizes) in voxels, a scalar.

        ``target`` holds ``moving`` and ``fixed``, (B, C, *sizes); and for Dice ``moving_label`` and ``fixed_label``,
        label maps (B, 1, *sizes) or one-hot maps. What does not fit together is a :class:`RegistrationError`.
        """
        parts = self.parts(field, target)
        scale = 1 - self.weight if self.balance else 1.0
        total = scale * parts["similarity"] + self.weight * parts["smoothness"]
        return total + self.dice_weight * parts["dice"] if "dice" in parts else total

    def parts(self, field: torch.Tensor, target: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return what :meth:`forward` is made of, before weighting: ``similarity``, ``smoothness``, ``dice``.

        Dice only where it has a weight and there are labels.
        """
        check_field(field)
        field = field.float() if field.element_size() < 4 else field
        moving, fixed = target["moving"].to(field.dtype), target["fixed"].to(field.dtype)
        if moving.shape != fixed.shape:
            raise RegistrationError(
                f"moving and fixed image must have one shape, got {list(moving.shape)} and {list(fixed.shape)}."
            )
        parts = {"similarity": self.similarity(warp(moving, field), fixed), "smoothness": self.smoothness(field)}
        if self.dice_weight and "moving_label" in target and "fixed_label" in target:
            parts["dice"] = self._dice(field, target["moving_label"], target["fixed_label"])
        return parts

    def _dice(self, field: torch.Tensor, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        if moving.shape[1] == 1 and fixed.shape[1] == 1:
            classes = max(self.classes or int(max(moving.max(), fixed.max())) + 1, 2)
            moving, fixed = one_hot(moving, classes), one_hot(fixed, classes)
        return self.dice(warp(moving[:, 1:].to(field.dtype), field), fixed[:, 1:].to(field.dtype))
