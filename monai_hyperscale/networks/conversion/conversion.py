"""One conversion in progress: what it was told, what it has done, and the kinds of layers that it looks for."""

from __future__ import annotations

from typing import Any

import torch.nn as nn

from monai_hyperscale.errors import ConversionError
from monai_hyperscale.networks.conversion.layers import StridedResize
from monai_hyperscale.networks.conversion.refusals import refusal
from monai_hyperscale.networks.conversion.report import ConversionReport
from monai_hyperscale.networks.layers.resize import interpolation_mode

__all__ = ["CONVS", "POOLS", "TRANSPOSED", "Conversion", "describe", "short", "strided", "strides"]

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


class Conversion:
    """One conversion in progress.

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
        return refusal(self.report.network, name, module, reason)

    def refuse_leftovers(self, body: nn.Module) -> None:
        """Check that no layer of the converted network resamples by a fixed factor or keeps running statistics.

        Raises:
            ConversionError: if one does.
        """
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
    """Return whether a convolution or pooling has a stride above 1 along any axis.

    Example:
        >>> strided(nn.MaxPool2d(2)), strided(nn.Conv2d(1, 1, 3))
        (True, False)
    """
    stride = strides(module)
    return stride > 1 if isinstance(stride, int) else max(stride) > 1


def describe(module: nn.Module) -> str:
    """Return a layer in a few words: its type, and kernel and stride where it has them."""
    stride = getattr(module, "stride", None)
    if stride is None or not hasattr(module, "kernel_size"):
        return type(module).__name__
    return f"{type(module).__name__}(kernel {short(module.kernel_size)}, stride {short(stride)})"


def short(value: Any) -> Any:
    """Return one number where all axes have the same.

    Example:
        >>> short((2, 2)), short((2, 1))
        (2, (2, 1))
    """
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _spatial_dims(network: nn.Module) -> int:
    for module in network.modules():
        for dims, kind in enumerate(CONVS, start=1):
            if isinstance(module, kind):
                return dims
    raise ConversionError(f"{type(network).__name__} cannot be made rescalable: it has no convolution.")
