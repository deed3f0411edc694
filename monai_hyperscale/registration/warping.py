"""Warping of images, label maps and points by displacement fields."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from voxelmorph.nn.functional import spatial_transform

from monai_hyperscale.errors import RegistrationError


def warp(image: torch.Tensor, field: torch.Tensor, mode: str = "linear", padding: str = "border") -> torch.Tensor:
    """Resample a moving image by a displacement field: ``moved(x) = image(x + field(x))``.

    VoxelMorph's spatial transformer, with coordinates that are exact: a zero field gives the image bit for bit, and
    whole displacements give shifts of it. Differentiable in both arguments. Half precision is computed in float32,
    since normalised coordinates in 16 bits would be off by whole voxels. A batch of one serves several of the other.
    What does not fit together, or is unknown, is a :class:`RegistrationError`.

    Takes an image (B, C, *sizes), 2D or 3D, and a field (B, D, *sizes), voxels; what comes out has the image's type but
    for whole numbers with ``linear``. For label maps take ``nearest``, or one-hot maps with ``linear``, which have a
    gradient. ``padding`` is what lies outside the image: its ``border``, or ``zeros``.

    Example:
        >>> image, field = torch.arange(12.0).reshape(1, 1, 3, 4), torch.zeros(1, 2, 3, 4)
        >>> field[:, 1] = 1  # take every value from one voxel further along the second axis
        >>> warp(image, field)[0, 0, 0]
        tensor([1., 2., 3., 3.])
    """
    check_field(field)
    sizes = list(image.shape[2:])
    if image.dim() != field.dim() or list(field.shape[2:]) != sizes:
        raise RegistrationError(
            f"image (B, C, *sizes) and field (B, D, *sizes) must be on one grid, got shapes {list(image.shape)} and "
            f"{list(field.shape)}; resample one to the other's grid first."
        )
    dtype = _computed_in(image, field)
    grid: list[torch.Tensor] = []
    for axis, n in enumerate(sizes):
        padded = power_of_two(n)
        shape = [1] * len(sizes)
        shape[axis] = n
        centres = (2 * torch.arange(n, device=field.device, dtype=dtype) + 1) / padded - 1
        # The scaling is by a power of two, so nothing is lost by doing it first; and one pass over memory is enough.
        grid.append(torch.add(centres.reshape(shape), field[:, axis].to(dtype), alpha=2.0 / padded))
    return _sample(image, grid, mode, padding)


def warp_points(points: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Move points (B, N, D), voxel indices, by a field (B, D, *sizes): ``p + field(p)``, linear between voxels.

    A field that warps the moving image onto the fixed one takes points of the fixed image to the moving one; for the
    other way see :func:`invert`. What does not fit together is a :class:`RegistrationError`.

    Example:
        >>> warp_points(torch.tensor([[[2.0, 3.5]]]), torch.ones(1, 2, 5, 6))
        tensor([[[3.0000, 4.5000]]])
    """
    check_field(field)
    dims = field.dim() - 2
    if points.dim() != 3 or points.shape[2] != dims:
        raise RegistrationError(f"points of a {dims}D field have the shape (B, N, {dims}), got {list(points.shape)}.")
    dtype = _computed_in(points, field)
    # A "grid" of one row of points.
    shape = [points.shape[0], points.shape[1]] + [1] * (dims - 1)
    parts = [points[:, :, axis].to(dtype).reshape(shape) for axis in range(dims)]
    moved = points + sample(field, parts, "linear", "border").flatten(2).transpose(1, 2)
    return moved.to(points.dtype) if points.is_floating_point() else moved


def voxel_grid(field: torch.Tensor) -> torch.Tensor:
    """Return the index of every voxel of a field's grid, (1, D, *sizes), in the field's type and on its device.

    Example:
        >>> voxel_grid(torch.zeros(1, 2, 2, 3))[0, 1].tolist()
        [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    """
    ticks = [torch.arange(n, device=field.device, dtype=field.dtype) for n in field.shape[2:]]
    return torch.stack(torch.meshgrid(ticks, indexing="ij")).unsqueeze(0)


def check_field(field: torch.Tensor) -> None:
    """Raise :class:`RegistrationError` unless a tensor is a field: (B, D, *sizes), D = 2 or 3, floating point."""
    dims = field.dim() - 2
    if (dims != 2 and dims != 3) or field.shape[1] != dims or not field.is_floating_point():
        raise RegistrationError(
            "a displacement field is a floating-point tensor (B, 2, H, W) or (B, 3, H, W, D), got "
            f"{field.dtype} of shape {list(field.shape)}."
        )


def _computed_in(image: torch.Tensor, field: torch.Tensor) -> torch.dtype:
    # 32-bit labels do not fit into float32.
    whole = not image.is_floating_point() and image.element_size() > 2
    double = image.dtype == torch.float64 or field.dtype == torch.float64 or whole
    return torch.float64 if double else torch.float32


def sample(
    image: torch.Tensor, coordinates: list[torch.Tensor], mode: str = "linear", padding: str = "border"
) -> torch.Tensor:
    """Take an image's values at voxel coordinates, per axis a tensor (B, *output sizes) of float32 or float64."""
    grid: list[torch.Tensor] = []
    for axis, coordinate in enumerate(coordinates):
        padded = power_of_two(image.shape[2 + axis])
        grid.append(coordinate * (2.0 / padded) + (1.0 / padded - 1.0))
    return _sample(image, grid, mode, padding)


def _sample(image: torch.Tensor, grid: list[torch.Tensor], mode: str, padding: str) -> torch.Tensor:
    """Take an image's values at coordinates from -1 to 1 over the image padded to powers of two."""
    if mode != "linear" and mode != "nearest":
        raise RegistrationError(f"mode must be 'linear' or 'nearest', got {mode}.")
    if padding != "border" and padding != "zeros":
        raise RegistrationError(f"padding must be 'border' or 'zeros', got {padding}.")
    batches = [image.shape[0], grid[0].shape[0]]
    batch = max(batches)
    if min(batches) not in (1, batch):
        raise RegistrationError(
            f"both take a batch of one size, or one of them of 1, got {batches[0]} and {batches[1]}."
        )
    padded = pad_to_powers_of_two(image.to(grid[0].dtype), padding).expand([batch] + [-1] * (image.dim() - 1))
    where = torch.stack(grid, dim=1).expand([batch] + [-1] * (image.dim() - 1))
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        # VoxelMorph's function does this same call, but TorchScript cannot compile it.
        method = "nearest" if mode == "nearest" else "bilinear"
        values = F.grid_sample(padded, where.movedim(1, -1).flip(-1), method, padding, align_corners=False)
    else:
        values = spatial_transform(padded, where, mode, isdisp=False, align_corners=False, padding_mode=padding)
    return values.to(image.dtype) if image.is_floating_point() or mode == "nearest" else values


def pad_to_powers_of_two(image: torch.Tensor, padding: str = "border") -> torch.Tensor:
    """Pad an image at the far end of its axes to sizes for which normalised coordinates of whole voxels are exact."""
    pads: list[int] = []
    for n in image.shape[2:]:
        pads = [0, power_of_two(n) - n] + pads
    if max(pads) == 0:
        return image
    return F.pad(image, pads, mode="replicate" if padding == "border" else "constant")


def power_of_two(size: int) -> int:
    """Return the least power of two that is not less than a size; TorchScript compiles it."""
    power = 1
    while power < size:
        power *= 2
    return power
