"""Resizing of feature maps by a continuous factor (SSHN, sections 3 and A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Optional, overload

import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks.layers.factor import check_factor, current_factor

ROUNDINGS = ("nearest", "ceil", "floor")

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@overload
def rescaled_size(size: int, phi: float, rounding: str = "nearest") -> int: ...


@overload
def rescaled_size(size: Sequence[int], phi: float, rounding: str = "nearest") -> tuple[int, ...]: ...


def rescaled_size(size: int | Sequence[int], phi: float, rounding: str = "nearest") -> int | tuple[int, ...]:
    """Return the number of voxels that an axis, or each of several, has after down-sampling by φ, at least 1.

    Args:
        size: voxels along one axis, or a sequence of them; each at least 1.
        phi: rescaling factor in [0, 1]. 0 gives one voxel, 1 the identity.
        rounding: ``nearest`` (default): ``floor(φ·n + 0.5)`` as in SSHN A.1, halves up; ``ceil``, the formula of SSHN
            section 3; ``floor``, that of the authors' earlier library.

    Raises:
        PhiError: if ``phi`` is not a number in [0, 1].
        ValueError: if a size is not a whole number of at least 1, or ``rounding`` is unknown.

    Example:
        >>> rescaled_size(25, 0.5), rescaled_size((48, 33, 17), 0.25)
        (13, (12, 8, 4))
    """
    factor = check_factor(phi)
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}.")
    given: Any = size
    sizes = [given] if isinstance(given, Integral) else list(given)
    if not all(isinstance(n, Integral) and int(n) >= 1 for n in sizes):
        raise ValueError(f"every axis needs a whole number of voxels, at least one, to be rescaled; got {size!r}.")
    scaled = _scaled_sizes([int(n) for n in sizes], factor, rounding)
    return scaled[0] if isinstance(given, Integral) else tuple(scaled)


def _scaled_sizes(sizes: list[int], factor: float, rounding: str) -> list[int]:
    # Kept to what TorchScript compiles: folded networks are scripted with it. The slack absorbs the last bit of
    # products such as 0.55 * 100 = 55.00000000000001, and of a φ that was a float32 once (0.7 is 0.699999988 there);
    # either would otherwise move a size by one voxel.
    result: list[int] = []
    for n in sizes:
        exact = factor * n
        slack = 5e-8 * n
        if rounding == "ceil":
            scaled = int(math.ceil(exact - slack))
        elif rounding == "floor":
            scaled = int(math.floor(exact + slack))
        else:
            scaled = int(math.floor(exact + 0.5 + slack))
        result.append(max(1, scaled))
    return result


def interpolation_mode(mode: str, spatial_dims: int) -> str:
    """Return torch's name for ``linear`` or ``nearest`` interpolation over ``spatial_dims`` axes."""
    if spatial_dims not in _LINEAR:
        raise ValueError(f"spatial_dims must be 1, 2 or 3, got {spatial_dims!r}.")
    if mode == "linear":
        return _LINEAR[spatial_dims]
    if mode == "nearest":
        # nearest-exact takes voxel centres, as linear does; torch's "nearest" is shifted by half a voxel.
        return "nearest-exact"
    raise ValueError(f"mode must be 'linear' or 'nearest', got {mode!r}.")


def _interpolate(x: torch.Tensor, size: list[int], mode: str) -> torch.Tensor:
    if list(x.shape[2:]) == size:
        return x
    if list(x.shape[2:]) == [1] * len(size):
        return x.expand(list(x.shape[:2]) + size)  # the same value everywhere, which torch computes slowly
    if mode == "nearest-exact":
        return F.interpolate(x, size=size, mode=mode)
    return F.interpolate(x, size=size, mode=mode, align_corners=False)


def resize_like(x: torch.Tensor, reference: torch.Tensor, mode: str) -> torch.Tensor:
    """Resize ``x`` (B, C, *sizes) to the spatial size of ``reference`` by torch's interpolation ``mode``.

    Up-sampling goes to the skip connection's size, never by 1/φ, so every input size comes back exactly (SSHN A.1).
    """
    resized = _interpolate(x, list(reference.shape[2:]), mode)
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return resized
    return _laid_out_like(resized, reference)


@torch.jit.unused
def _laid_out_like(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    # With channels last if the reference has them there. Of maps of one voxel torch cannot tell where they are: what is
    # made of them has them first, and so would all that it is joined with, to be copied before every convolution.
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim())
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    if layout is None or recorded:
        return x
    if reference.is_contiguous(memory_format=layout) and not reference.is_contiguous():
        return x.contiguous(memory_format=layout)
    return x


def resize_maps(maps: torch.Tensor, image: torch.Tensor, mode: str) -> torch.Tensor:
    """Resize a network's output to the spatial size of its input image by torch's interpolation ``mode``.

    Args:
        maps: (B, C, *sizes), or (B, K, C, *sizes) as deep supervision stacks them. What has no spatial axes, such as
            class scores (B, C), is returned as it is.
        image: the image (B, C', *target sizes).
        mode: see :func:`interpolation_mode`.

    Example:
        >>> resize_maps(torch.zeros(2, 4, 3, 5, 5), torch.zeros(2, 1, 11, 7), "bilinear").shape
        torch.Size([2, 4, 3, 11, 7])
    """
    size = list(image.shape[2:])
    leading = maps.dim() - len(size)
    if leading < 2:
        return maps
    if leading == 2:
        return _interpolate(maps, size, mode)
    return _interpolate(maps.flatten(1, leading - 1), size, mode).reshape(list(maps.shape[:leading]) + size)


class VariableResize(nn.Module):
    """Down-sample feature maps by the factor of :func:`rescaling_factor`, or that of :meth:`fix` once it is folded.

    Args:
        spatial_dims: 1, 2 or 3.
        level: which of the factors applies where φ names one per level; 0 is the first down-sampling.
        mode: ``linear`` or ``nearest``.
        rounding: how ``φ·n`` becomes a whole number, see :func:`rescaled_size`. Others are a ``ValueError``.

    Example:
        >>> from monai_hyperscale.networks.layers import rescaling_factor
        >>> with rescaling_factor(0.25):
        ...     VariableResize(spatial_dims=2)(torch.zeros(1, 8, 31, 32)).shape
        torch.Size([1, 8, 8, 8])
    """

    def __init__(self, spatial_dims: int, level: int = 0, mode: str = "linear", rounding: str = "nearest") -> None:
        super().__init__()
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}.")
        self.spatial_dims = spatial_dims
        self.mode = interpolation_mode(mode, spatial_dims)
        self.level = level
        self.rounding = rounding
        self.factor: Optional[float] = None

    def fix(self, phi: float | None) -> None:
        """Use the factor ``phi`` whatever the context says; ``None`` goes back to the context."""
        self.factor = None if phi is None else check_factor(phi)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C, *rescaled sizes)."""
        factor = self.factor
        if factor is None:
            factor = self._context_factor()
        return _interpolate(x, _scaled_sizes(list(x.shape[2:]), factor, self.rounding), self.mode)

    @torch.jit.unused
    def _context_factor(self) -> float:
        return current_factor(self.level)

    def extra_repr(self) -> str:
        """Show the settings in ``print(network)``."""
        factor = "from context" if self.factor is None else f"{self.factor:g}"
        return f"phi={factor}, level={self.level}, mode={self.mode}, rounding={self.rounding}"
