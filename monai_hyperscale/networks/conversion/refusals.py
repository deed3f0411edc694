"""The sentence of every refusal, and the refusal of modules that compute something else than their type says."""

from __future__ import annotations

from typing import Optional

import torch.nn as nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from monai_hyperscale.errors import ConversionError

__all__ = ["refusal", "refuse_altered_modules"]

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


def refusal(network: str, name: str, module: nn.Module, reason: str) -> ConversionError:
    """Return the error that says which module of a network cannot be converted, and why.

    Args:
        network: its type.
        name: of the module in the network, ``""`` the network itself.
        module: that cannot be converted.
        reason: and the way out.

    Example:
        >>> print(refusal("UNet", "model.0", nn.ReLU(), "it is tired"))
        UNet cannot be made rescalable: model.0 (ReLU): it is tired.
    """
    where = f"{name} ({type(module).__name__})" if name else f"the network ({type(module).__name__})"
    return ConversionError(f"{network} cannot be made rescalable: {where}: {reason}.")


def refuse_altered_modules(network: nn.Module) -> None:
    """Check that every module of a network runs the ``forward`` of its type, and nothing before or after it.

    A hook goes with the module that is replaced, and it may resize where nobody sees it.

    Args:
        network: to be converted; also to be copied, which some of torch's hooks prevent.

    Raises:
        ConversionError: if a module has a hook, a parametrization, or a ``forward`` of its own.

    Example:
        >>> refuse_altered_modules(nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()))
    """
    for name, module in network.named_modules():
        reason = _altered(module)
        if reason is not None:
            raise refusal(type(network).__name__, name, module, reason)


def _altered(module: nn.Module) -> Optional[str]:
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
