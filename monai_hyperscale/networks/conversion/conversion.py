"""One conversion in progress: what it does, what it has done, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

import torch.nn as nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from monai_hyperscale.errors import ConversionError
from monai_hyperscale.networks.conversion.layers import StridedResize
from monai_hyperscale.networks.conversion.report import ConversionReport
from monai_hyperscale.networks.layers.resize import interpolation_mode

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)

# Hooks that torch itself registers, by what they are to a user, and the function that takes them off.
_OF_TORCH = (
    (SpectralNorm, "spectral normalisation", "torch.nn.utils.remove_spectral_norm"),
    (WeightNorm, "weight normalisation", "torch.nn.utils.remove_weight_norm"),
    (prune.BasePruningMethod, "pruning", "torch.nn.utils.prune.remove"),
)
_HOOKS = {
    "_forward_hooks": "forward hook",
    "_forward_pre_hooks": "forward pre-hook",
    "_backward_hooks": "backward hook",
    "_backward_pre_hooks": "backward pre-hook",
}


@dataclass(eq=False)
class Conversion:
    """One conversion in progress; the arguments are those of :func:`~monai_hyperscale.networks.rescalable`.

    ``report`` says what was replaced so far, ``resize_mode`` is torch's name of the linear interpolation that
    up-sampling ends with, and ``returns_features`` whether the network returns features of several sizes, as an encoder
    does.
    """

    network: nn.Module
    norm: str = "refuse"
    mode: str = "linear"
    rounding: str = "nearest"
    returns_features: bool = field(default=False, init=False)
    _claimed: set[nn.Module] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.report = ConversionReport(type(self.network).__name__)
        convs = (module for module in self.network.modules() if isinstance(module, CONVS))
        self.spatial_dims = next((len(conv.kernel_size) for conv in convs), 0)
        if not self.spatial_dims:
            raise ConversionError(f"{self.report.network} cannot be made rescalable: it has no convolution.")
        self.resize_mode = interpolation_mode("linear", self.spatial_dims)

    def claim(self, *modules: nn.Module) -> None:
        """Say that strided or up-sampling layers are dealt with by the block around them, and stay as they are."""
        self._claimed.update(modules)

    def claimed(self, module: nn.Module) -> bool:
        """Return whether the converter of a block has claimed a layer in it."""
        return module in self._claimed

    def note(self, text: str) -> None:
        """Enter a remark in the report, once."""
        if text not in self.report.notes:
            self.report.notes.append(text)

    def error(self, name: str, module: nn.Module, reason: str) -> ConversionError:
        """Return the error that says which module cannot be converted, and why."""
        where = f"{name} ({type(module).__name__})" if name else f"the network ({type(module).__name__})"
        return ConversionError(f"{self.report.network} cannot be made rescalable: {where}: {reason}.")

    def refuse_altered_modules(self) -> None:
        """Check that no module has a hook, which may be lost with it, a parametrization or a ``forward`` of its own."""
        for name, module in self.network.named_modules():
            reason = _altered(module)
            if reason is not None:
                raise self.error(name, module, reason)

    def refuse_leftovers(self, body: nn.Module) -> None:
        """Check that no layer of the converted network resamples by a fixed factor or keeps running statistics."""
        for name, module in body.named_modules():
            if module in self._claimed or isinstance(getattr(module, "resize", None), StridedResize):
                continue
            fixed = isinstance(module, (*CONVS, *TRANSPOSED, *POOLS)) and strided(module)
            if fixed or isinstance(module, (nn.Upsample, nn.modules.batchnorm._BatchNorm)):
                raise self.error(name, module, "it was left as it is by the converter of its block")


def strides(module: Any) -> Any:
    """Return the stride of a convolution or pooling, which for poolings defaults to the kernel's size."""
    return module.kernel_size if module.stride is None else module.stride


def strided(module: nn.Module) -> bool:
    """Return whether a convolution or pooling has a stride above 1 along any axis."""
    stride = strides(module)
    return stride > 1 if isinstance(stride, int) else max(stride) > 1


def describe(module: nn.Module) -> str:
    """Return a layer in a few words: its type, and kernel and stride where it has them."""
    stride = getattr(module, "stride", None)
    if stride is None or not hasattr(module, "kernel_size"):
        return type(module).__name__
    return f"{type(module).__name__}(kernel {short(module.kernel_size)}, stride {short(stride)})"


def short(value: Any) -> Any:
    """Return one number where all axes have the same."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _altered(module: nn.Module) -> Optional[str]:
    # Why a module computes something else than its type says, and the way out; None if it does not.
    if isinstance(module, LazyModuleMixin):
        return "its parameters are only made at the first call; run the network once on an image, and convert it then"
    if parametrize.is_parametrized(module):
        return (
            "a parametrization computes its weights at every call; make them plain with "
            "torch.nn.utils.parametrize.remove_parametrizations, and convert it then"
        )
    for attribute, kind in _HOOKS.items():
        for hook in getattr(module, attribute).values():
            for of_torch, what, way_out in _OF_TORCH:
                if isinstance(hook, of_torch):
                    return f"{what} computes its weights at every call; take it off with {way_out}, and convert it then"
            return (
                f"it has a {kind}, which may be lost with a module that is replaced; remove the hook, convert, and "
                "register it again on the converted network"
            )
    if "_orig_mod" in module._modules:
        return "it is compiled; convert the network that was given to torch.compile, and compile the result"
    if "forward" in vars(module):
        return (
            "its forward was replaced on this one instance; put it into a class, and say how to convert that with "
            "@converts from networks.conversion"
        )
    return None
