"""Normalisation layers of a network that is made rescalable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from monai_hyperscale.networks.layers.norm import GuardedGroupNorm, normalization

__all__ = ["NORMS", "ConvertedNorm", "convert_norm", "is_norm"]

NORMS = ("refuse", "group", "instance")


class ConvertedNorm(NamedTuple):
    """A normalisation layer after conversion.

    Args:
        module: the layer to use.
        how: what is different, for the report; ``None`` where it computes the same.
        adapted: its parameters that keep their values but scale something else now.
        dropped: buffers that have gone.
    """

    module: nn.Module
    how: Optional[str]
    adapted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is one of torch's normalisation layers over feature maps, and computes what they do.

    Example:
        >>> is_norm(nn.BatchNorm2d(4)), is_norm(nn.ReLU())
        (True, False)
    """
    kinds = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
    # Any other subclass may compute something else, which its replacement would not.
    known = type(module).forward.__module__.startswith(("torch.nn.modules.", "apex.", "monai_hyperscale."))
    return isinstance(module, kinds) and known


def convert_norm(module: Any, norm: str, error: Callable[[str], Exception]) -> ConvertedNorm:
    """Return a normalisation layer that holds for every φ, with the scale and shift of the given one.

    Group and instance normalisation compute what they did, and pass a single voxel through instead of raising.

    Args:
        module: the layer.
        norm: what to do with running statistics: ``refuse``, or replace by ``group`` or ``instance``.
        error: makes the error from a reason.

    Raises:
        ConversionError: as made by ``error``, for running statistics with ``refuse``, and for layer normalisation.

    Example:
        >>> convert_norm(nn.InstanceNorm2d(4, affine=True), "refuse", ValueError).module.num_groups
        4
    """
    if isinstance(module, nn.GroupNorm):
        return ConvertedNorm(_guarded(module, module.num_groups, module.num_channels), None)
    running = isinstance(module, _BatchNorm) or getattr(module, "track_running_stats", False)
    if isinstance(module, _InstanceNorm) and not running:
        return ConvertedNorm(_guarded(module, module.num_features, module.num_features), None)
    if not running:
        raise error("it normalises over a fixed size or over channels; build the network with group norm")
    if norm == "refuse":
        raise error(
            "its running statistics are gathered over all phi and are wrong for each of them (1 to 3 % accuracy at the "
            "extremes in Table 3 of Scale-Adaptive Networks); pass norm='group' or norm='instance' to replace it"
        )
    channels = module.num_features
    replacement: Any = normalization(norm, channels)
    groups = replacement.num_groups
    names = ("weight", "bias") if module.affine else ()
    dropped = tuple(name for name, buffer in module.named_buffers() if buffer is not None)
    how = f"{norm} norm of {groups} groups" if norm == "group" else "instance norm"
    return ConvertedNorm(_guarded(module, groups, channels), how, names, dropped)


def _guarded(module: Any, groups: int, channels: int) -> GuardedGroupNorm:
    guarded = GuardedGroupNorm(groups, channels, eps=module.eps, affine=module.weight is not None)
    guarded.weight, guarded.bias = module.weight, module.bias
    return guarded.train(module.training)
