"""The walk over a network that replaces what resamples, and the register of the blocks that it knows.

Nothing is guessed: every type of module met must be one of torch's layers that keep the size, or have a converter
registered with :func:`converts`, :func:`keeps` or :func:`staged`. Anything else ends the conversion with an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Optional, TypeVar

import torch.nn as nn
from monai.networks.blocks import ADN, Convolution, MemoryEfficientSwish, Mish, SubpixelUpSample, Swish, UpSample
from monai.networks.layers.simplelayers import SkipConnection
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd

from monai_hyperscale.errors import ConversionError
from monai_hyperscale.networks.conversion import layers
from monai_hyperscale.networks.conversion.conversion import (
    CONVS,
    POOLS,
    TRANSPOSED,
    Conversion,
    describe,
    short,
    strided,
    strides,
)
from monai_hyperscale.networks.conversion.report import Replacement
from monai_hyperscale.networks.layers.norm import GuardedGroupNorm, normalization
from monai_hyperscale.networks.layers.resize import VariableResize

#: What the report says of strided layers, and of those that up-sample.
RESIZED = "resized by phi to a size that the stride divides, then the same"
_RESIZED_AFTER = "the same, then resized to the size of the skip connection"

# Of torch.nn.modules: the files whose layers leave the spatial size alone, or make it the same whatever it was.
_SIZE_KEEPING = {f"torch.nn.modules.{file}" for file in ("activation", "dropout", "linear", "padding", "flatten")}
_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Place:
    """A module of the network in conversion, and where it stands: all that a converter gets.

    ``module`` is a copy of the original's, to be changed in place or replaced, ``name`` its name in the network, and
    ``level`` that of the first down-sampling inside it.
    """

    conversion: Conversion
    module: Any
    name: str = ""
    level: int = 0

    def child(self, name: str, level: Optional[int] = None) -> Place:
        """Return the place of a child, or of what a path of names leads to, of the same level unless one is given."""
        level = self.level if level is None else level
        return replace(self, module=self.module.get_submodule(name), name=self._join(name), level=level)

    def convert(self, *children: str, level: Optional[int] = None) -> nn.Module:
        """Convert children in place, by default all and all of one level, and return the module."""
        for child in children or self._children():
            # Through _modules, since a Sequential's children have numbers for names.
            self.module._modules[child] = self.child(child, level).converted()
        return self.module

    def stages(self, *children: str) -> int:
        """Convert children, by default all, that run one after the other, in place; return the next level.

        A stage all of whose strides are 1 does not resize and takes no level.
        """
        level = self.level
        for child in children or self._children():
            self.convert(child, level=level)
            level += any(isinstance(layer, VariableResize) for layer in self.module._modules[child].modules())
        return level

    def converted(self) -> nn.Module:
        """Return what takes the module's place; a :class:`ConversionError` if it or a part of it cannot be."""
        module = self.module
        if self.conversion.claimed(module):
            return module
        converter = _converter(module)
        if converter is not None:
            return converter(self)
        kind = type(module)
        if kind in CONVS or kind in POOLS:
            return self._strided() if strided(module) else module
        if kind in TRANSPOSED:
            if strided(module):
                raise self.error("the size that it is to come back to is not known from its block")
            return module
        if isinstance(module, _NORMS) and _computes_as_torch(kind):
            return self._norm()
        if isinstance(module, (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)) and _computes_as_torch(kind):
            if any(size not in (1, None) for size in self._per_axis(module.output_size)):
                size = short(module.output_size)
                self.conversion.note(f"{self.name} ({kind.__name__}) gives the size {size} whatever phi is.")
            return module
        if kind in (nn.Identity, Swish, MemoryEfficientSwish, Mish) or kind.__module__ in _SIZE_KEEPING:
            return module
        raise self.error("this type is not known; say how to convert it with @converts from networks.conversion")

    def resize(self, stride: Any) -> layers.StridedResize:
        """Return the resize in front of a layer of this stride, one number or one per axis."""
        of = self.conversion
        strides = stride if isinstance(stride, int) else tuple(stride)
        return layers.StridedResize(of.spatial_dims, strides, self.level, of.mode, of.rounding)

    def transposed(self) -> nn.Module:
        """Return a transposed MONAI ``Convolution``, its parts under their names, as a module of (x, reference)."""
        conv = self.child("conv")
        self.conversion.claim(conv.module)
        adn = self.child("adn").converted() if hasattr(self.module, "adn") else None
        if strided(conv.module):
            conv.replaced(_RESIZED_AFTER)
        return layers.LearnedUpSample({"conv": conv.module}, self.conversion.resize_mode, adn)

    def upsample(self) -> nn.Module:
        """Return a MONAI ``UpSample`` as a module of (x, reference) that gives the reference's size."""
        parts = dict(self.module.named_children())
        upsample: Any = parts.pop("upsample_non_trainable", None)
        for name, part in parts.items():
            if type(part) in TRANSPOSED:
                self.conversion.claim(part)
            else:
                # A pixel shuffle is as good as a transposed convolution here: a fixed whole factor.
                place = self.child(name)
                parts[name] = place.convert() if type(part) is SubpixelUpSample else place.converted()
        if upsample is None:
            self.replaced(_RESIZED_AFTER)
            return layers.LearnedUpSample(parts, self.conversion.resize_mode)
        if upsample.size is not None:
            raise self.error(f"it up-samples to the fixed size {upsample.size}")
        replace(self, module=upsample).replaced("the same interpolation, to the size of the skip connection")
        return layers.InterpolatedUpSample(upsample, parts.get("preconv"), parts.get("postconv"))

    def replaced(self, after: str, level: Optional[int] = None) -> None:
        """Enter the module's replacement in the report, with its level if it down-samples."""
        self.conversion.report.replaced.append(Replacement(self.name, describe(self.module), after, level))

    def left_out(self, reason: str) -> None:
        """Enter in the report that the module's tensors go, and why."""
        unused = {self._join(tensor): reason for tensor in self.module.state_dict()}
        self.conversion.report.tensors.unused.update(unused)

    def error(self, reason: str) -> ConversionError:
        """Return the error that says that the module cannot be converted, and why."""
        return self.conversion.error(self.name, self.module, reason)

    def check_padding(self, layer: Any) -> None:
        """Check that a strided layer divides a size that its stride divides by exactly the stride."""
        padding = 0 if layer.padding == "valid" else layer.padding
        values = (strides(layer), layer.kernel_size, padding, getattr(layer, "dilation", 1))
        for stride, kernel, pad, dilation in zip(*map(self._per_axis, values), strict=True):
            # Of s·m voxels such a layer makes m + 1 + this, rounded.
            surplus = (2 * pad - dilation * (kernel - 1) - 1) / stride
            if (math.ceil if getattr(layer, "ceil_mode", False) else math.floor)(surplus) != -1:
                reason = f"with kernel {kernel}, stride {stride} and padding {pad} it does not divide sizes"
                raise self.conversion.error(self.name, layer, reason)

    def _join(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name

    def _children(self) -> list[str]:
        return [name for name, _ in self.module.named_children()]

    def _per_axis(self, value: Any) -> tuple[int, ...]:
        return (value,) * self.conversion.spatial_dims if isinstance(value, int) else tuple(value)

    def _strided(self) -> nn.Module:
        self.check_padding(self.module)
        self.replaced(RESIZED, self.level)
        resize = self.resize(strides(self.module))
        if type(self.module) in CONVS:
            return layers.resizing_convolution(self.module, resize)
        self.conversion.claim(self.module)
        return layers.ResizedPool(resize, self.module)

    def _norm(self) -> nn.Module:
        # A normalisation that holds for every φ and for a single voxel, with the scale and shift of the given one.
        module, norm = self.module, self.conversion.norm
        if isinstance(module, nn.GroupNorm):
            return _guarded(module, module.num_groups, module.num_channels)
        running = isinstance(module, _BatchNorm) or getattr(module, "track_running_stats", False)
        if isinstance(module, _InstanceNorm) and not running:
            return _guarded(module, module.num_features, module.num_features)
        if not running:
            raise self.error("it normalises over a fixed size or over channels; build the network with group norm")
        if norm == "refuse":
            raise self.error(
                "its running statistics are gathered over all phi and are wrong for each of them (1 to 3 % accuracy at "
                "the extremes in Table 3 of Scale-Adaptive Networks); pass norm='group' or norm='instance' to replace "
                "it"
            )
        channels = module.num_features
        replacement: Any = normalization(norm, channels)
        self.replaced(f"group norm of {replacement.num_groups} groups" if norm == "group" else "instance norm")
        of, tensors = f"of a {describe(module)} that was replaced", self.conversion.report.tensors
        tensors.unused.update({self._join(name): f"statistics {of}" for name, _ in module.named_buffers()})
        tensors.adapted.update({self._join(name): f"scale and shift {of}" for name, _ in module.named_parameters()})
        return _guarded(module, replacement.num_groups, channels)


def _guarded(module: Any, groups: int, channels: int) -> GuardedGroupNorm:
    guarded = GuardedGroupNorm(groups, channels, eps=module.eps, affine=module.weight is not None)
    guarded.weight, guarded.bias = module.weight, module.bias
    return guarded.train(module.training)


def _computes_as_torch(kind: type[nn.Module]) -> bool:
    # Any other subclass may compute something else, which its replacement would not.
    return kind.forward.__module__.startswith(("torch.nn.modules.", "apex.", "monai_hyperscale."))


#: Returns what takes the place of the module that stands there.
Converter = Callable[[Place], nn.Module]

_CONVERTERS: dict[type[nn.Module], Converter] = {}
_C = TypeVar("_C", bound=Converter)


def converts(*types: type[nn.Module]) -> Callable[[_C], _C]:
    """Register a function as the converter of these types of modules.

    It is called with the :class:`Place` of the module and returns what takes the module's place. Parameters keep their
    names, so that weights carry over. A subclass counts as its base as long as it inherits ``forward``.

    Example:
        >>> class Thick(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.conv, self.pool = nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)
        ...     def forward(self, x):
        ...         return self.pool(self.conv(x))
        >>> @converts(Thick)
        ... def convert_thick(place):
        ...     return place.convert("conv", "pool")
    """

    def register(converter: _C) -> _C:
        for kind in types:
            _CONVERTERS[kind] = converter
        return converter

    return register


def keeps(*types: type[nn.Module]) -> None:
    """Register types whose ``forward`` neither resamples nor merges maps: only children are converted, to one level."""
    converts(*types)(Place.convert)


def staged(*types: type[nn.Module]) -> None:
    """Register types as :func:`keeps` does, whose children are stages: each that down-samples gets its own level.

    Example:
        >>> class Encoder(nn.Sequential):
        ...     def forward(self, x):
        ...         return 2 * super().forward(x)
        >>> staged(Encoder)
        >>> from monai_hyperscale.networks import rescalable
        >>> rescalable(Encoder(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.MaxPool2d(2))).levels
        2
    """

    def convert(place: Place) -> nn.Module:
        place.stages()
        return place.module

    converts(*types)(convert)


def _converter(module: nn.Module) -> Optional[Converter]:
    kind = type(module)
    for base in kind.__mro__:
        if base in _CONVERTERS and kind.forward is base.forward:
            return _CONVERTERS[base]
    return None


keeps(nn.Sequential, nn.ModuleList, ADN, Convolution, SkipConnection)


@converts(UpSample)
def _refuse_upsample(place: Place) -> nn.Module:
    raise place.error("the size that it is to come back to is not known from its block")
