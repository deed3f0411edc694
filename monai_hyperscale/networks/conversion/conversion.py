"""The walk over a network that replaces what resamples, and the register of the blocks that it knows.

Nothing is guessed: every type of module met must be one of torch's layers that keep the size, or have a converter
registered with :func:`converts` or :func:`keeps`. Anything else ends the conversion with an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional, TypeVar

import torch.nn as nn
from monai.networks.blocks import ADN, Convolution, MemoryEfficientSwish, Mish, SubpixelUpSample, Swish, UpSample
from monai.networks.layers.simplelayers import SkipConnection

from monai_hyperscale.errors import ConversionError
from monai_hyperscale.networks.conversion.layers import (
    InterpolatedUpSample,
    LearnedUpSample,
    ResizedPool,
    StridedResize,
    UpConvolution,
    resizing_convolution,
)
from monai_hyperscale.networks.conversion.norms import convert_norm, is_norm
from monai_hyperscale.networks.conversion.refusals import refusal
from monai_hyperscale.networks.conversion.report import ConversionReport, Replacement
from monai_hyperscale.networks.layers.resize import interpolation_mode

__all__ = ["CONVS", "POOLS", "RESIZED", "RESIZED_AFTER", "Conversion", "Converter", "converts", "keeps"]

#: Takes the module, its name, the level of its first down-sampling, and the conversion; returns what replaces it.
Converter = Callable[[Any, str, int, "Conversion"], nn.Module]

#: What the report says of strided layers, and of those that up-sample.
RESIZED = "resized by phi to a size that the stride divides, then the same"
RESIZED_AFTER = "the same, then resized to the size of the skip connection"

_CONVERTERS: dict[type[nn.Module], Converter] = {}
_C = TypeVar("_C", bound=Converter)

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
# Of torch.nn.modules: the files whose layers leave the spatial size alone, or make it the same whatever it was.
_SIZE_KEEPING = ("activation", "dropout", "linear", "padding", "flatten")
_ADAPTIVE = (
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)


def converts(*types: type[nn.Module]) -> Callable[[_C], _C]:
    """Register a function as the converter of these types of modules.

    It is called with the module (a copy, to be changed in place or replaced), its name, the level of the first
    down-sampling inside it and the :class:`Conversion`, and returns what takes the module's place. Parameters keep
    their names, so that weights carry over. A subclass counts as its base as long as it inherits ``forward``.

    Example:
        >>> class Thick(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.conv, self.pool = nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)
        ...     def forward(self, x):
        ...         return self.pool(self.conv(x))
        >>> @converts(Thick)
        ... def convert_thick(module, name, level, conversion):
        ...     return conversion.children(module, name, level)
    """

    def register(converter: _C) -> _C:
        for kind in types:
            _CONVERTERS[kind] = converter
        return converter

    return register


def keeps(*types: type[nn.Module]) -> None:
    """Register types whose own ``forward`` neither resamples nor merges maps: their children alone are converted.

    Strided layers among the children all become down-samplings of the same level.
    """
    converts(*types)(lambda module, name, level, conversion: conversion.children(module, name, level))


class Conversion:
    """One conversion in progress: what converters use.

    Args:
        network: to convert; it is changed in place, so pass a copy.
        norm: ``refuse``, ``group`` or ``instance``: what becomes of batch normalisation.
        mode: interpolation of the down-sampling, ``linear`` or ``nearest``.
        rounding: of the sizes, see :func:`~monai_hyperscale.networks.layers.rescaled_size`.

    Attributes:
        report: what was replaced so far.
        spatial_dims: of the network's convolutions.
        resize_mode: torch's name of the linear interpolation that up-sampling ends with.
        returns_features: whether the network returns features of several sizes, as an encoder does.
    """

    def __init__(
        self, network: nn.Module, norm: str = "refuse", mode: str = "linear", rounding: str = "nearest"
    ) -> None:
        self.network = network
        self.norm = norm
        self.mode = mode
        self.rounding = rounding
        self.report = ConversionReport(type(network).__name__)
        self.spatial_dims = _spatial_dims(network)
        self.resize_mode = interpolation_mode("linear", self.spatial_dims)
        self.returns_features = False
        self._claimed: set[nn.Module] = set()

    def run(self) -> nn.Module:
        """Return the converted network.

        Raises:
            ConversionError: if any part of it cannot be converted; the sentence names it.
        """
        body = self.convert(self.network, "", 0)
        self._refuse_leftovers(body)
        return body

    def convert(self, module: nn.Module, name: str, level: int) -> nn.Module:
        """Return what takes the place of a module.

        Args:
            module: to convert, in place where possible.
            name: of the module in the network.
            level: of the factors, that applies to the down-samplings inside.

        Raises:
            ConversionError: if the module, or one inside it, is of an unknown type or cannot be converted.
        """
        if module in self._claimed:
            return module
        converter = _converter(module)
        if converter is not None:
            return converter(module, name, level, self)
        kind = type(module)
        if kind in CONVS:
            return self.convolution(module, name, level) if strided(module) else module
        if kind in POOLS:
            return self.pool(module, name, level) if strided(module) else module
        if kind in _TRANSPOSED:
            if strided(module):
                raise self.error(name, module, "the size that it is to come back to is not known from its block")
            return module
        if is_norm(module):
            return self._norm(module, name)
        if kind in _ADAPTIVE:
            self._fixed_size(module, name)
            return module
        if kind in (nn.Identity, Swish, MemoryEfficientSwish, Mish):
            return module
        if kind.__module__ in {f"torch.nn.modules.{file}" for file in _SIZE_KEEPING}:
            return module
        raise self.error(
            name, module, "this type is not known; say how to convert it with @converts from networks.conversion"
        )

    def children(self, module: nn.Module, name: str, level: int) -> nn.Module:
        """Convert the children of a module in place, all at one level, and return the module."""
        for child, part in list(module.named_children()):
            # Through _modules, since a Sequential's children have numbers for names.
            module._modules[child] = self.convert(part, join(name, child), level)
        return module

    def convert_child(self, module: nn.Module, name: str, child: str, level: int) -> None:
        """Convert one child of a module in place.

        Args:
            module: whose child it is.
            name: of the module in the network.
            child: name of the child in the module.
            level: see :meth:`convert`.
        """
        module._modules[child] = self.convert(getattr(module, child), join(name, child), level)

    def resize(self, stride: Any, level: int) -> StridedResize:
        """Return the resize in front of a layer of this stride, one number or one per axis."""
        strides = stride if isinstance(stride, int) else tuple(stride)
        return StridedResize(self.spatial_dims, strides, level, self.mode, self.rounding)

    def convolution(self, conv: nn.Module, name: str, level: int) -> nn.Module:
        """Return a strided convolution that goes by φ, with the same parameters.

        Raises:
            ConversionError: if its padding leaves other sizes than the stride's divisors.
        """
        self.check_padding(conv, name)
        self.replaced(name, conv, RESIZED, level)
        return resizing_convolution(conv, self.resize(conv.stride, level))

    def pool(self, pool: nn.Module, name: str, level: int) -> nn.Module:
        """Return a strided pooling that goes by φ.

        Raises:
            ConversionError: if its padding leaves other sizes than the stride's divisors.
        """
        self.check_padding(pool, name)
        self.replaced(name, pool, RESIZED, level)
        self.claim(pool)
        return ResizedPool(self.resize(strides(pool), level), pool)

    def transposed(self, block: Any, name: str) -> UpConvolution:
        """Return a transposed MONAI ``Convolution`` as a module of (x, reference) that gives the reference's size.

        Its parts are taken over, under their names.
        """
        self.claim(block.conv)
        adn = self.convert(block.adn, join(name, "adn"), 0) if hasattr(block, "adn") else None
        if strided(block.conv):
            self.replaced(join(name, "conv"), block.conv, RESIZED_AFTER)
        return UpConvolution(block.conv, adn, self.resize_mode)

    def upsample(self, block: UpSample, name: str) -> nn.Module:
        """Return a MONAI ``UpSample`` as a module of (x, reference) that gives the reference's size.

        Raises:
            ConversionError: if it up-samples to a fixed size.
        """
        parts = dict(block.named_children())
        interpolated = parts.pop("upsample_non_trainable", None)
        for child, part in parts.items():
            if type(part) in _TRANSPOSED:
                self.claim(part)
            else:
                # A pixel shuffle is as good as a transposed convolution here: a fixed whole factor.
                subpixel = type(part) is SubpixelUpSample
                parts[child] = (self.children if subpixel else self.convert)(part, join(name, child), 0)
        if interpolated is None:
            self.replaced(name, block, RESIZED_AFTER)
            return LearnedUpSample(parts, self.resize_mode)
        return self.interpolated(interpolated, name, parts.get("preconv"), parts.get("postconv"))

    def interpolated(
        self,
        upsample: nn.Module,
        name: str,
        preconv: Optional[nn.Module] = None,
        postconv: Optional[nn.Module] = None,
    ) -> InterpolatedUpSample:
        """Return an ``nn.Upsample`` as a module of (x, reference) that interpolates to the reference's size.

        Raises:
            ConversionError: if it up-samples to a fixed size.
        """
        assert isinstance(upsample, nn.Upsample)
        if upsample.size is not None:
            raise self.error(name, upsample, f"it up-samples to the fixed size {upsample.size}")
        self.replaced(name, upsample, "the same interpolation, to the size of the skip connection")
        return InterpolatedUpSample(upsample, preconv, postconv)

    def claim(self, *modules: nn.Module) -> None:
        """Say that strided or up-sampling layers are dealt with by the block around them, and stay as they are."""
        self._claimed.update(modules)

    def claimed(self, module: nn.Module) -> bool:
        """Return whether the converter of a block has claimed a layer in it."""
        return module in self._claimed

    def replaced(self, name: str, before: nn.Module, after: str, level: Optional[int] = None) -> None:
        """Enter a replacement in the report, with its level if it down-samples."""
        self.report.replaced.append(Replacement(name, describe(before), after, level))

    def left_out(self, module: nn.Module, name: str, reason: str) -> None:
        """Enter the tensors of a part that goes in the report, and why it does."""
        self.report.tensors.unused.update({join(name, tensor): reason for tensor in module.state_dict()})

    def note(self, text: str) -> None:
        """Enter a remark in the report, once."""
        if text not in self.report.notes:
            self.report.notes.append(text)

    def error(self, name: str, module: nn.Module, reason: str) -> ConversionError:
        """Return the error that says which module cannot be converted, and why."""
        return refusal(self.report.network, name, module, reason)

    def check_padding(self, module: Any, name: str) -> None:
        """Check that a strided layer divides a size that its stride divides by exactly the stride.

        Raises:
            ConversionError: if it does not.
        """
        padding = 0 if module.padding == "valid" else module.padding
        values = (strides(module), module.kernel_size, padding, getattr(module, "dilation", 1))
        for stride, kernel, pad, dilation in zip(*map(self._per_axis, values), strict=True):
            # Of s·m voxels such a layer makes m + 1 + this, rounded.
            surplus = (2 * pad - dilation * (kernel - 1) - 1) / stride
            if (math.ceil if getattr(module, "ceil_mode", False) else math.floor)(surplus) != -1:
                raise self.error(
                    name, module, f"with kernel {kernel}, stride {stride} and padding {pad} it does not divide sizes"
                )

    def _per_axis(self, value: Any) -> tuple[int, ...]:
        return (value,) * self.spatial_dims if isinstance(value, int) else tuple(value)

    def _fixed_size(self, module: Any, name: str) -> None:
        if any(size not in (1, None) for size in self._per_axis(module.output_size)):
            self.note(f"{name} ({type(module).__name__}) gives the size {_short(module.output_size)} whatever phi is.")

    def _norm(self, module: nn.Module, name: str) -> nn.Module:
        converted = convert_norm(module, self.norm, lambda reason: self.error(name, module, reason))
        if converted.how is not None:
            self.replaced(name, module, converted.how)
        of = f"of a {describe(module)} that was replaced"
        tensors = self.report.tensors
        tensors.unused.update({join(name, tensor): f"statistics {of}" for tensor in converted.dropped})
        tensors.adapted.update({join(name, tensor): f"scale and shift {of}" for tensor in converted.adapted})
        return converted.module

    def _refuse_leftovers(self, body: nn.Module) -> None:
        for name, module in body.named_modules():
            if module in self._claimed or isinstance(getattr(module, "resize", None), StridedResize):
                continue
            fixed = isinstance(module, (*CONVS, *_TRANSPOSED, *POOLS)) and strided(module)
            if fixed or isinstance(module, (nn.Upsample, nn.modules.batchnorm._BatchNorm)):
                raise self.error(name, module, "it was left as it is by the converter of its block")


def strides(module: Any) -> Any:
    """Return the stride of a convolution or pooling, which for poolings defaults to the kernel's size."""
    return module.kernel_size if module.stride is None else module.stride


def strided(module: nn.Module) -> bool:
    """Return whether a convolution or pooling has a stride above 1 along any axis.

    Example:
        >>> strided(nn.MaxPool2d(2)), strided(nn.Conv2d(1, 1, 3))
        (True, False)
    """
    stride = strides(module)
    return stride > 1 if isinstance(stride, int) else max(stride) > 1


def join(name: str, child: str) -> str:
    """Return the full name of a child.

    Example:
        >>> join("", "down"), join("down", "0")
        ('down', 'down.0')
    """
    return f"{name}.{child}" if name else child


def describe(module: nn.Module) -> str:
    """Return a layer in a few words: its type, and kernel and stride where it has them."""
    stride = getattr(module, "stride", None)
    if stride is None or not hasattr(module, "kernel_size"):
        return type(module).__name__
    return f"{type(module).__name__}(kernel {_short(module.kernel_size)}, stride {_short(stride)})"


def _short(value: Any) -> Any:
    # One number where all axes have the same.
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _converter(module: nn.Module) -> Converter | None:
    kind = type(module)
    for base in kind.__mro__:
        if base in _CONVERTERS and kind.forward is base.forward:
            return _CONVERTERS[base]
    return None


def _spatial_dims(network: nn.Module) -> int:
    for module in network.modules():
        for dims, kind in enumerate(CONVS, start=1):
            if isinstance(module, kind):
                return dims
    raise ConversionError(f"{type(network).__name__} cannot be made rescalable: it has no convolution.")


keeps(nn.Sequential, nn.ModuleList, ADN, Convolution, SkipConnection)


@converts(UpSample)
def _refuse_upsample(module: UpSample, name: str, level: int, conversion: Conversion) -> nn.Module:
    raise conversion.error(name, module, "the size that it is to come back to is not known from its block")
