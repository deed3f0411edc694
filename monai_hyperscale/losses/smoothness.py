"""How rough a displacement field is: penalties on its first and second derivatives."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn as nn

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.registration.warping import check_field

__all__ = ["SMOOTHNESS", "BendingEnergy", "SquaredGradient", "TotalVariation", "build_smoothness"]


class TotalVariation(nn.Module):
    """Total variation, the L1 form: the mean of |u(x+1) − u(x)| over voxels and components, averaged over axes.

    It lets neighbouring parts move differently where that pays. SSHN says "total variation" (section 4.1) and points
    to VoxelMorph, which takes :class:`SquaredGradient`; this is what the name says. An axis of one voxel has no
    differences and does not count.

    Example:
        >>> field = torch.zeros(1, 2, 4, 4)
        >>> field[:, 0, 2:] = 3.0  # one step of 3 among the 3 × 4 differences of one component along one axis
        >>> TotalVariation()(field)
        tensor(0.2500)
    """

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map a field (B, D, *sizes) in voxels to a scalar, without unit.

        Raises:
            RegistrationError: if it is not a field.
        """
        return _mean_over_axes([step.abs() for step in _differences(field)], field)


class SquaredGradient(nn.Module):
    """The mean of the squared differences between neighbours, averaged over axes (VoxelMorph's regularisation).

    Forward differences, not the central ones of MONAI's ``DiffusionLoss``, which do not see a checkerboard. An axis
    of one voxel does not count.

    Example:
        >>> field = torch.zeros(1, 2, 4, 4)
        >>> field[:, 0, 2:] = 3.0
        >>> SquaredGradient()(field)
        tensor(0.7500)
    """

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        """Map a field (B, D, *sizes) in voxels to a scalar, without unit.

        Raises:
            RegistrationError: if it is not a field.
        """
        return _mean_over_axes([step.square() for step in _differences(field)], field)


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
        """Map a field (B, D, *sizes) in voxels to a scalar, per voxel².

        Raises:
            RegistrationError: if it is not a field.
        """
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


#: The penalties that a configuration can name.
SMOOTHNESS: dict[str, type[nn.Module]] = {"tv": TotalVariation, "gradient": SquaredGradient, "bending": BendingEnergy}


def build_smoothness(name: str) -> nn.Module:
    """Return a penalty by name: ``tv``, ``gradient`` or ``bending``.

    Raises:
        ConfigError: for another name.
    """
    if name not in SMOOTHNESS:
        raise ConfigError(f"smoothness must be one of {', '.join(SMOOTHNESS)}, got {name!r}.")
    return SMOOTHNESS[name]()


def _differences(field: torch.Tensor) -> list[torch.Tensor]:
    check_field(field)
    return [field.diff(dim=axis) for axis in range(2, field.dim()) if field.shape[axis] > 1]


def _mean_over_axes(penalties: list[torch.Tensor], field: torch.Tensor) -> torch.Tensor:
    if not penalties:
        return field.sum() * 0  # one voxel: smooth, and still part of the graph
    return torch.stack([penalty.mean() for penalty in penalties]).mean()
