"""Stages that follow one another, each with a level of its own if it down-samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

import torch.nn as nn

from monai_hyperscale.networks.conversion.conversion import Conversion, converts, join
from monai_hyperscale.networks.layers.resize import VariableResize

__all__ = ["convert_stages", "staged"]


def convert_stages(
    conversion: Conversion, module: nn.Module, name: str, level: int = 0, children: Optional[Iterable[str]] = None
) -> int:
    """Convert children that run one after the other, in place, and return the level that comes next.

    A stage all of whose strides are 1 does not resize and takes no level.

    Args:
        conversion: in progress.
        module: whose children they are.
        name: of the module in the network.
        level: of the first that down-samples.
        children: their names in the module, in the order in which they run; by default all, in their own order.

    Example:
        >>> stages = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, stride=2, padding=1))
        >>> convert_stages(Conversion(stages), stages, "")
        2
    """
    for child in list(module._modules) if children is None else children:
        part = conversion.convert(module._modules[child], join(name, child), level)  # type: ignore[arg-type]
        module._modules[child] = part
        if any(isinstance(layer, VariableResize) for layer in part.modules()):
            level += 1
    return level


def staged(*types: type[nn.Module]) -> None:
    """Register types whose own ``forward`` neither resamples nor merges maps: their children are stages."""

    def convert(module: nn.Module, name: str, level: int, conversion: Conversion) -> nn.Module:
        convert_stages(conversion, module, name, level)
        return module

    converts(*types)(convert)
