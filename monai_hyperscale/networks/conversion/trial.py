"""A run of a converted network on torch's meta device, without numbers, to find layers that bear only some sizes.

A linear layer after flattened maps or a convolution without padding may; what runs before them decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Optional

import torch
import torch.nn as nn

from monai_hyperscale.errors import first_line
from monai_hyperscale.networks.conversion.conversion import CONVS, POOLS, Conversion, describe, strided
from monai_hyperscale.networks.layers.factor import rescaling_factor

# Of torch.nn.modules: the files of layers that bear only some sizes.
_FILES = tuple(f"torch.nn.modules.{file}" for file in ("linear", "flatten", "padding"))
# Voxels along each axis: most networks run on the first, and some on a size of their own alone.
_SIZES = (64, 128, 256, 32, 28, 16, 8, 48, 96, 112, 160, 192, 224, 240, 299, 320, 384, 512)
_PHIS = (0.5, 0.0, 0.3, 1.0)


def _size_bound(module: Any) -> bool:
    # Linear, flattening, padding, or a layer that wants a least size; strided layers choose their size once converted.
    if isinstance(module, (*CONVS, *POOLS)):
        if strided(module) or module.padding == "same":
            return False
        padding = 0 if module.padding == "valid" else module.padding
        # Three of a single number: more than there are axes does no harm.
        values = (module.kernel_size, padding, getattr(module, "dilation", 1))
        axes = zip(*((value,) * 3 if isinstance(value, int) else value for value in values), strict=False)
        shrinks = any(2 * pad < dilation * (kernel - 1) for kernel, pad, dilation in axes)
        return shrinks or getattr(module, "padding_mode", "zeros") in ("reflect", "circular")
    return type(module).__module__ in _FILES and not isinstance(module, nn.Identity)


def refuse_sizes(body: nn.Module, conversion: Conversion) -> None:
    """Check that a converted network with layers that may bear only some sizes runs at every φ where the original runs.

    Layers that a converter has claimed do not count. The report notes it if the original runs on no image tried.
    """
    parts = body.named_modules()
    suspects = [name for name, module in parts if _size_bound(module) and not conversion.claimed(module)]
    if not suspects:
        return
    plain, resized = _weightless(conversion.network), _weightless(body)
    _watch(plain)
    features = _watch(resized)
    usual: dict[str, int] = {}
    image = next((x for x in _images(body, conversion.spatial_dims) if _failure(plain, x) is None), None)
    if image is None:
        some = ", ".join(suspects[:3]) + (" ..." if len(suspects) > 3 else "")
        conversion.note(
            f"Layers that may bear only some sizes ({some}) could not be tried at every phi: the original ran on no "
            f"square image of {min(_SIZES)} to {max(_SIZES)} voxels."
        )
        return
    for phi in _PHIS:
        with rescaling_factor(phi):
            failure = _failure(resized, image)
        if failure is not None:
            name, error = failure
            raise conversion.error(name, resized.get_submodule(name), _reason(resized.get_submodule(name), error, phi))
        usual = usual or dict(features)
        for name, count in features.items():
            if count != usual.get(name, count):
                reason = (
                    f"at phi = {phi:g} it gets another number of features than at {_PHIS[0]:g}, since maps were "
                    "flattened at a size that goes by phi; put an adaptive pooling before that"
                )
                raise conversion.error(name, resized.get_submodule(name), reason)


def _weightless(network: nn.Module) -> nn.Module:
    # A copy that shares nothing and holds no numbers: each tensor is copied as one of the meta device.
    memo: dict[int, Any] = {id(value): nn.Parameter(value.to("meta"), False) for value in network.parameters()}
    memo |= {id(value): value.to("meta") for value in network.buffers()}
    return copy.deepcopy(network, memo).eval()


def _watch(network: nn.Module) -> dict[str, int]:
    # Linear layers take any number of features from here on, and note how many: that of their own they get on images
    # of one size only, which may be any.
    features: dict[str, int] = {}

    def watched(name: str, linear: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(x: torch.Tensor) -> torch.Tensor:
            features[name] = x.shape[-1]
            return x.new_empty((*x.shape[:-1], linear.out_features))

        return forward

    for name, module in network.named_modules():
        if type(module) is nn.Linear:
            module.forward = watched(name, module)  # type: ignore[method-assign,assignment]
    return features


def _images(body: nn.Module, spatial_dims: int) -> Iterator[torch.Tensor]:
    # The first convolution takes the image, in all networks but a few that no trial can help.
    channels = next(module.in_channels for module in body.modules() if isinstance(module, CONVS))
    for size in _SIZES:
        yield torch.empty((1, channels, *[size] * spatial_dims), device="meta")


def _failure(network: nn.Module, x: torch.Tensor) -> Optional[tuple[str, Exception]]:
    # Which module could not run on an image, and what it said; None if all could.
    names = {module: name for name, module in network.named_modules()}
    running: list[nn.Module] = []

    def leaves(*_: Any) -> None:
        running.pop()

    hooks: list[Any] = []
    for module in names:
        hooks.append(module.register_forward_pre_hook(lambda module, _: running.append(module)))
        hooks.append(module.register_forward_hook(leaves))
    try:
        with torch.no_grad():
            network(x)
    except Exception as error:  # whatever its layers, or those of others, raise
        return names[running[-1]], error
    finally:
        for hook in hooks:
            hook.remove()
    return None


def _reason(module: nn.Module, error: Exception, phi: float) -> str:
    if isinstance(module, (*CONVS, *POOLS)):
        return (
            f"at phi = {phi:g} its maps are smaller than {describe(module)} can take; let it pad them by zeros, so "
            "that it keeps their size"
        )
    return f"at phi = {phi:g} it fails ({first_line(error)}), since the sizes of its maps go by phi"
