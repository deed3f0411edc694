"""Layers that take the place of strided convolutions, poolings, transposed convolutions and up-samplings.

Each keeps the layer that it replaces, with its own kernel, stride and weights, and only chooses the size that the
layer works on: a layer of stride s is given maps of ``s·m`` voxels along an axis where ``m`` voxels are wanted. At
φ = 0.5 and sizes that divide, that is the size it would have had anyway, so a converted network then computes what
the original did, at the same cost and with all its weights; for other φ each kernel goes on seeing its surroundings
at the scale of its output, as it learned to.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Union

import torch
import torch.nn as nn
import torch.nn.functional as F

from monai_hyperscale.networks.layers.resize import VariableResize, _interpolate, _scaled_sizes, resize_like

__all__ = [
    "InterpolatedUpSample",
    "LearnedUpSample",
    "MergingUp",
    "ResizedPool",
    "ResizingConv1d",
    "ResizingConv2d",
    "ResizingConv3d",
    "StridedResize",
    "UpConvolution",
    "UpThenLayer",
    "resizing_convolution",
]


class StridedResize(VariableResize):
    """Resize so that a layer of the given stride comes out at the size that φ asks for.

    An axis of n voxels and stride s is to leave the layer with ``m = rescaled_size(n, φ ** log2(s))`` voxels: φ for
    the ordinary stride of 2, φ² for 4, and n for 1, so that φ = 0.5 is always the stride that the network was built
    with and φ = 1 none. It is resized to ``s·m`` before the layer.

    Args:
        spatial_dims: 1, 2 or 3.
        stride: of the layer that follows, one number or one per axis.
        level: see :class:`~monai_hyperscale.networks.layers.VariableResize`; as are ``mode`` and ``rounding``.
        mode: ``linear`` or ``nearest``.
        rounding: ``nearest``, ``ceil`` or ``floor``.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks.layers import rescaling_factor
        >>> resize = StridedResize(spatial_dims=2, stride=(2, 1))
        >>> with rescaling_factor(0.3):
        ...     resize(torch.zeros(1, 1, 40, 40)).shape
        torch.Size([1, 1, 24, 40])
    """

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
        """Map (B, C, *sizes) to (B, C, *multiples of the strides)."""
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
        """Show the settings in ``print(network)``."""
        return f"stride={tuple(self.stride)}, {super().extra_repr()}"


class _ResizesFirst:
    # Before one of torch's convolutions in the order of bases; see resizing_convolution.
    def __init__(self, conv: Any, resize: StridedResize) -> None:
        names = ("stride", "padding", "dilation", "groups", "padding_mode")
        options = {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
        # On the meta device: the parameters are the given convolution's own, so none are drawn here.
        super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size, device="meta", **options)  # type: ignore
        self.weight, self.bias, self.resize = conv.weight, conv.bias, resize

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(self.resize(input), self.weight, self.bias)  # type: ignore


class ResizingConv1d(_ResizesFirst, nn.Conv1d):
    """A strided convolution that resizes first; see :func:`resizing_convolution`."""


class ResizingConv2d(_ResizesFirst, nn.Conv2d):
    """A strided convolution that resizes first; see :func:`resizing_convolution`."""


class ResizingConv3d(_ResizesFirst, nn.Conv3d):
    """A strided convolution that resizes first; see :func:`resizing_convolution`."""


_RESIZING = {nn.Conv1d: ResizingConv1d, nn.Conv2d: ResizingConv2d, nn.Conv3d: ResizingConv3d}


def resizing_convolution(conv: Any, resize: StridedResize) -> nn.Module:
    """Return the convolution with the resize in front of it: its parameters are the same, under the same names.

    Args:
        conv: ``nn.Conv1d``, ``nn.Conv2d`` or ``nn.Conv3d``.
        resize: to the sizes that the convolution's stride divides.

    Example:
        >>> conv = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1)
        >>> sorted(resizing_convolution(conv, StridedResize(2, stride=2)).state_dict())
        ['bias', 'weight']
    """
    return _RESIZING[type(conv)](conv, resize)


class ResizedPool(nn.Sequential):
    """A pooling that resizes first, to a size that its stride divides.

    Example:
        >>> import torch
        >>> from monai_hyperscale.networks.layers import rescaling_factor
        >>> pool = ResizedPool(StridedResize(2, stride=2), torch.nn.MaxPool2d(2))
        >>> with rescaling_factor(0.3):
        ...     pool(torch.zeros(1, 1, 40, 10)).shape
        torch.Size([1, 1, 12, 3])
    """

    def __init__(self, resize: StridedResize, pool: nn.Module) -> None:
        super().__init__()
        self.add_module("resize", resize)
        self.add_module("pool", pool)


class UpConvolution(nn.Module):
    """MONAI's transposed ``Convolution`` whose result is resized to the size of a reference before ADN.

    Args:
        conv: the transposed convolution.
        adn: normalisation, dropout and activation; ``None`` for none.
        mode: torch's name of the interpolation.

    Example:
        >>> import torch
        >>> up = UpConvolution(torch.nn.ConvTranspose2d(4, 2, 2, stride=2), None, "bilinear")
        >>> up(torch.zeros(1, 4, 5, 5), torch.zeros(1, 1, 13, 10)).shape
        torch.Size([1, 2, 13, 10])
    """

    def __init__(self, conv: nn.Module, adn: nn.Module | None, mode: str) -> None:
        super().__init__()
        self.conv = conv
        self.adn = nn.Identity() if adn is None else adn
        self.mode = mode

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        return self.adn(resize_like(self.conv(x), reference, self.mode))


class LearnedUpSample(nn.Sequential):
    """Up-sampling layers of fixed strides, such as MONAI's ``UpSample``, and a resize to the size of a reference.

    Args:
        layers: by name.
        mode: torch's name of the interpolation.

    Example:
        >>> import torch
        >>> up = LearnedUpSample({"deconv": torch.nn.ConvTranspose2d(4, 2, 2, stride=2)}, "bilinear")
        >>> up(torch.zeros(1, 4, 5, 5), torch.zeros(1, 1, 13, 10)).shape
        torch.Size([1, 2, 13, 10])
    """

    def __init__(self, layers: dict[str, nn.Module], mode: str) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.mode = mode

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        for layer in self:
            x = layer(x)
        return resize_like(x, reference, self.mode)


class InterpolatedUpSample(nn.Module):
    """MONAI's non-trainable ``UpSample``, straight to the size of a reference.

    Args:
        upsample: whose interpolation is taken over, ``align_corners`` included, so that whole factors give its values.
        preconv: convolution before it; ``None`` for none.
        postconv: convolution after it; ``None`` for none.

    Example:
        >>> import torch
        >>> up = InterpolatedUpSample(torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
        >>> up(torch.zeros(1, 4, 5, 5), torch.zeros(1, 1, 13, 10)).shape
        torch.Size([1, 4, 13, 10])
    """

    def __init__(
        self, upsample: nn.Upsample, preconv: nn.Module | None = None, postconv: nn.Module | None = None
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


class UpThenLayer(nn.Sequential):
    """Two parts: an up-sampling to the size of a reference, and what comes after it, under the names of MONAI's block.

    Example:
        >>> up = UpConvolution(torch.nn.ConvTranspose2d(4, 2, 2, stride=2), None, "bilinear")
        >>> UpThenLayer(up, torch.nn.ReLU())(torch.zeros(1, 4, 5, 5), torch.zeros(1, 1, 13, 10)).shape
        torch.Size([1, 2, 13, 10])
    """

    def forward(self, x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Map (B, C, *sizes) to (B, C', *sizes of the reference)."""
        return self[1](self[0](x, reference))


class MergingUp(nn.Sequential):
    """An up-sampling to the size of a skip connection, and the convolutions of both, under the names of MONAI's block.

    Args:
        parts: the up-sampling, of (x, reference), and the convolutions after the concatenation, by name.
        skip_first: whether the skip connection's channels come first.

    Example:
        >>> up = UpConvolution(torch.nn.ConvTranspose2d(4, 2, 2, stride=2), None, "bilinear")
        >>> merging = MergingUp({"up": up, "conv": torch.nn.Conv2d(3, 5, 1)}, skip_first=True)
        >>> merging(torch.zeros(1, 4, 5, 5), torch.zeros(1, 1, 13, 10)).shape
        torch.Size([1, 5, 13, 10])
    """

    def __init__(self, parts: dict[str, nn.Module], skip_first: bool) -> None:
        super().__init__(OrderedDict(parts))
        self.skip_first = skip_first

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Merge features (B, C, *sizes) into those of the encoder (B, C', *skip sizes)."""
        x = self[0](x, skip)
        return self[1](torch.cat([skip, x] if self.skip_first else [x, skip], dim=1))
