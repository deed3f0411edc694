"""Layers that take the place of strided convolutions, poolings, transposed convolutions and up-samplings.

Each keeps the layer that it replaces, and only chooses the size that it works on: a layer of stride s is given maps of
``s·m`` voxels where ``m`` are wanted, so that a kernel sees its surroundings at the scale of its output, as it learned.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks.layers.resize import VariableResize, _interpolate, _scaled_sizes, resize_like


class TakenOver(nn.Module):
    """Modules of another one, under their names there, for a ``forward`` of its own."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, network: nn.Module, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, getattr(network, name))
        self.training = network.training


class StridedResize(VariableResize):
    """Resize to ``s·m`` voxels before a layer of stride s, where ``m = rescaled_size(n, φ ** log2(s))``."""

    def __init__(
        self,
        spatial_dims: int,
        stride: Union[int, Sequence[int]],
        level: int = 0,
        mode: str = "linear",
        rounding: str = "nearest",
    ) -> None:
        super().__init__(spatial_dims, level, mode, rounding)
        self.stride = [stride] * spatial_dims if isinstance(stride, int) else [int(s) for s in stride]
        self.exponents = [math.log2(s) for s in self.stride]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor = self.factor
        if factor is None:
            factor = self._context_factor()
        sizes = list(x.shape[2:])
        for axis, stride in enumerate(self.stride):
            if stride > 1:
                scaled = _scaled_sizes([sizes[axis]], factor ** self.exponents[axis], self.rounding)
                sizes[axis] = stride * scaled[0]
        return _interpolate(x, sizes, self.mode)

    def extra_repr(self) -> str:
        return f"stride={tuple(self.stride)}, {super().extra_repr()}"


class _ResizesFirst:
    # Before one of torch's convolutions in the order of bases.
    def __init__(self, conv: Any, resize: StridedResize) -> None:
        names = ("stride", "padding", "dilation", "groups", "padding_mode")
        options = {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
        # On the meta device: the parameters are the given convolution's own, so none are drawn here.
        super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size, device="meta", **options)  # type: ignore
        self.weight, self.bias, self.resize = conv.weight, conv.bias, resize

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(self.resize(input), self.weight, self.bias)  # type: ignore


class _ResizingConv1d(_ResizesFirst, nn.Conv1d):
    pass


class _ResizingConv2d(_ResizesFirst, nn.Conv2d):
    pass


class _ResizingConv3d(_ResizesFirst, nn.Conv3d):
    pass


_RESIZING = {nn.Conv1d: _ResizingConv1d, nn.Conv2d: _ResizingConv2d, nn.Conv3d: _ResizingConv3d}


def resizing_convolution(conv: Any, resize: StridedResize) -> nn.Module:
    """Return the convolution with the resize in front of it: its parameters are the same, under the same names."""
    return _RESIZING[type(conv)](conv, resize)


class ResizedPool(nn.Sequential):
    """A pooling that resizes first, to a size that its stride divides."""

    def __init__(self, resize: StridedResize, pool: nn.Module) -> None:
        super().__init__(OrderedDict(resize=resize, pool=pool))


class LearnedUpSample(nn.Sequential):
    """Up-sampling layers of fixed strides by name, a resize to the size of a reference, and ``adn`` after it."""

    def __init__(self, layers: Mapping[str, nn.Module], mode: str, adn: Optional[nn.Module] = None) -> None:
        super().__init__(OrderedDict(layers, adn=nn.Identity() if adn is None else adn))
        self.last = len(layers)
        self.mode = mode

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        for index, layer in enumerate(self):
            if index == self.last:
                x = resize_like(x, reference, self.mode)
            x = layer(x)
        return x


class InterpolatedUpSample(nn.Module):
    """MONAI's non-trainable ``UpSample``, by its own interpolation straight to the size of a reference."""

    def __init__(
        self, upsample: nn.Upsample, preconv: Optional[nn.Module] = None, postconv: Optional[nn.Module] = None
    ) -> None:
        super().__init__()
        self.preconv = nn.Identity() if preconv is None else preconv
        self.postconv = nn.Identity() if postconv is None else postconv
        # At whole factors the two are the same; at others torch's "nearest" is shifted by half a voxel.
        self.mode = "nearest-exact" if upsample.mode == "nearest" else upsample.mode
        self.align_corners = upsample.align_corners

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        x = self.preconv(x)
        size = list(reference.shape[2:])
        if list(x.shape[2:]) != size:
            x = F.interpolate(x, size=size, mode=self.mode, align_corners=self.align_corners)
        return self.postconv(x)


class UpBlock(nn.Sequential):
    """An up-sampling to the size of a skip connection, and what comes after it, under the names of MONAI's block.

    ``skip`` says where the skip connection's maps are concatenated: ``first``, ``last``, or nowhere (``""``).
    """

    def __init__(self, parts: Mapping[str, nn.Module], skip: str = "") -> None:
        super().__init__(OrderedDict(parts))
        self.skip = skip

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map features (B, C, *sizes), with those of the encoder (B, C', *skip sizes), to (B, C'', *skip sizes)."""
        x = self[0](x, reference)
        if self.skip == "first":
            x = torch.cat([reference, x], dim=1)
        elif self.skip == "last":
            x = torch.cat([x, reference], dim=1)
        return self[1](x)
