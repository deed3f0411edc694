"""How alike two images on one grid are, as losses: the smaller, the more alike."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.losses import GlobalMutualInformationLoss

from monai_hyperscale.errors import ConfigError, RegistrationError

__all__ = ["SIMILARITIES", "LocalNCC", "MutualInformation", "build_similarity"]


class LocalNCC(nn.Module):
    """Local normalised cross-correlation, squared and negated: −1 where every window agrees up to scale and offset.

    Windows are cut off at the image's border. Neither MONAI's loss, which fills them up with zeros that correlate,
    nor neurite's: without contrast in a window, the one takes the rounding errors of its sums for correlation (−232
    was seen), the other raises. Here variances have a floor, so such windows count as 0 and have no gradient to speak
    of.

    Args:
        window: edge of the window in voxels, odd.
        flat: standard deviation below which a window counts as without contrast; for intensities in [0, 1].

    Raises:
        ConfigError: for a window that is not odd, or a floor that is not positive.

    Example:
        >>> image = torch.rand(1, 1, 20, 20)
        >>> torch.allclose(LocalNCC()(1 - 0.5 * image, image), torch.tensor(-1.0), atol=1e-4)
        True
    """

    def __init__(self, window: int = 9, flat: float = 0.01) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ConfigError(f"the window of local NCC must be an odd number of voxels, got {window!r}.")
        if not flat > 0:
            raise ConfigError(f"flat must be a standard deviation above 0, got {flat!r}.")
        self.window = window
        self.flat = flat

    def forward(self, moved: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Compare images (B, C, *sizes), 2D or 3D; a scalar in [−1, 0].

        Raises:
            RegistrationError: if they are not of one shape, or neither 2D nor 3D.
        """
        _check_pair(moved, fixed)
        # An offset changes nothing but the rounding errors.
        axes = list(range(1, moved.dim()))
        a, b = (image - image.detach().mean(axes, keepdim=True) for image in (_wide(moved), _wide(fixed)))
        moments = torch.stack([a, b, a * a, b * b, a * b], dim=1).flatten(1, 2)
        mean_a, mean_b, aa, bb, ab = self._window_means(moments).chunk(5, dim=1)
        covariance = ab - mean_a * mean_b
        floor = self.flat**2
        variances = (aa - mean_a.square()).clamp(min=floor) * (bb - mean_b.square()).clamp(min=floor)
        return -(covariance.square() / variances).mean()

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


class MutualInformation(nn.Module):
    """Mutual information of the intensities, negated: for images of different contrasts. MONAI's, by Parzen windows.

    Args:
        bins: of the histogram over [0, 1]; intensities outside count as 0 or 1.

    Raises:
        ConfigError: for less than two bins.

    Example:
        >>> image = torch.rand(1, 1, 20, 20)
        >>> loss = MutualInformation()
        >>> bool(loss(1 - image, image) < loss(torch.rand(1, 1, 20, 20), image))
        True
    """

    def __init__(self, bins: int = 23) -> None:
        super().__init__()
        if bins < 2:
            raise ConfigError(f"mutual information needs two bins or more, got {bins!r}.")
        self.measure = GlobalMutualInformationLoss(num_bins=bins)

    def forward(self, moved: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Compare images (B, C, *sizes) with intensities in [0, 1]; a scalar.

        Raises:
            RegistrationError: if they are not of one shape.
        """
        _check_pair(moved, fixed)
        return self.measure(_wide(moved), _wide(fixed))


#: The measures that a configuration can name.
SIMILARITIES = ("mse", "lncc", "mi")


def build_similarity(name: str, window: int = 9) -> nn.Module:
    """Return a measure by name: ``mse`` (torch's ``MSELoss``), ``lncc`` or ``mi``.

    Args:
        name: of the measure.
        window: of ``lncc``.

    Raises:
        ConfigError: for another name, or a window that cannot be.
    """
    if name == "mse":
        return nn.MSELoss()
    if name == "lncc":
        return LocalNCC(window)
    if name == "mi":
        return MutualInformation()
    raise ConfigError(f"similarity must be one of {', '.join(SIMILARITIES)}, got {name!r}.")


def _wide(image: torch.Tensor) -> torch.Tensor:
    """Return an image in float32 or better."""
    return image if image.dtype == torch.float64 else image.float()


def _check_pair(moved: torch.Tensor, fixed: torch.Tensor) -> None:
    if moved.shape != fixed.shape or moved.dim() not in (4, 5):
        raise RegistrationError(
            "moved and fixed image must have one shape, (B, C, H, W) or (B, C, H, W, D), got "
            f"{list(moved.shape)} and {list(fixed.shape)}."
        )
