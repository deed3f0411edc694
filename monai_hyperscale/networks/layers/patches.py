"""Images as coarser ones with a channel for every voxel of a patch, and back: nothing is lost, the sizes shrink."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F


def to_patches(x: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Make every patch of an image one voxel of as many channels (MONAI's ``pixelunshuffle``, for any size).

    Args:
        x: (B, C, *sizes), of one to three axes, filled up at the far end with the border's values where need be.
        patch_size: voxels along every axis of a patch.

    Returns:
        (B, C·patch_size^D, *sizes / patch_size, rounded up).

    Example:
        >>> to_patches(torch.arange(6.0).reshape(1, 1, 2, 3), patch_size=2)[0, :, 0].T
        tensor([[0., 1., 3., 4.],
                [2., 2., 5., 5.]])
    """
    # TorchScript compiles it, which it does not MONAI's.
    pads: list[int] = []
    for n in x.shape[2:]:
        pads = [0, -n % patch_size] + pads
    if max(pads) > 0:
        x = F.pad(x, pads, mode="replicate")
    split = [x.shape[0], x.shape[1]]
    order = [0, 1]
    small: list[int] = []
    axes = x.dim() - 2
    for axis in range(axes):
        n = x.shape[2 + axis] // patch_size
        split += [n, patch_size]
        small += [n]
        order += [3 + 2 * axis]
    for axis in range(axes):
        order += [2 + 2 * axis]
    return x.reshape(split).permute(order).reshape([x.shape[0], -1] + small)


def from_patches(y: torch.Tensor, patch_size: int, image: torch.Tensor) -> torch.Tensor:
    """Undo :func:`to_patches` for maps (B, C·patch_size^D, *small sizes) of any number of channels: (B, C, *sizes).

    ``image`` (B, any, *sizes) is what the patches were made of.

    Example:
        >>> image = torch.rand(2, 3, 5, 7)
        >>> torch.equal(from_patches(to_patches(image, 2), 2, image), image)
        True
    """
    axes = y.dim() - 2
    sizes: list[int] = []
    split = [y.shape[0], -1] + [patch_size] * axes
    order = [0, 1]
    for axis in range(axes):
        split += [y.shape[2 + axis]]
        sizes += [y.shape[2 + axis] * patch_size]
        order += [2 + axes + axis, 2 + axis]
    y = y.reshape(split).permute(order).reshape([y.shape[0], -1] + sizes)
    for axis in range(axes):
        y = y.narrow(2 + axis, 0, image.shape[2 + axis])
    return y


class InPatches(nn.Module):
    """A network that works on the patches of an image and returns maps of the image's own size.

    Its first stage, which dominates the cost of a uniform network and which φ cannot move, then sees ``patch_size``^D
    times fewer voxels; unlike a smaller image it loses no detail. ``body`` maps (B, C·patch_size^D, *small sizes) to
    (B, C'·patch_size^D, *small sizes).

    Example:
        >>> InPatches(nn.Conv2d(4, 12, 1), patch_size=2)(torch.zeros(1, 1, 31, 17)).shape
        torch.Size([1, 3, 31, 17])
    """

    def __init__(self, body: nn.Module, patch_size: int) -> None:
        super().__init__()
        self.body = body
        self.patch_size = patch_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, *sizes) to maps (B, C', *sizes)."""
        return from_patches(self.body(to_patches(x, self.patch_size)), self.patch_size, x)

    def extra_repr(self) -> str:
        """Show the settings in ``print(network)``."""
        return f"patch_size={self.patch_size}"
