"""Which parameters of the primary network are generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Union

import torch.nn as nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

#: Normalisation layers: batch and instance norm, group norm, layer norm. Their parameters are the scale and shift.
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)

_KINDS: dict[str, tuple[type[nn.Module], ...]] = {"convolutions": (_ConvNd,), "norms": NORMS}

#: ``"convolutions"``, ``"norms"``, ``"convolutions+norms"``, ``"all"``, name patterns such as ``["encoder.*"]``, or a
#: function of (module, parameter name).
Selector = Union[str, Sequence[str], Callable[[nn.Module, str], bool]]


def select_parameters(network: nn.Module, select: Selector = "convolutions") -> list[str]:
    """Return the names of the parameters of ``network`` that are to be generated, in the network's order.

    A ``ValueError`` if nothing is selected, a pattern matches nothing, or a selected parameter is shared between
    modules or kept in a second place of its module as well, as recurrent layers do.

    Args:
        network: the primary network.
        select: ``"convolutions"`` (default: weights and biases of every convolution, as in the papers), ``"norms"``
            (the affine parameters of every normalisation layer), ``"convolutions+norms"``, ``"all"``, a pattern or
            several over full parameter names (``fnmatch``), or a function that takes the owning module and the full
            name. Frozen parameters (``requires_grad=False``) are never among them: they stay as they are.

    Example:
        >>> select_parameters(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)))
        ['0.weight', '0.bias']
    """
    wanted = [
        (module, name)
        for prefix, module in network.named_modules()
        for name, _ in module.named_parameters(prefix, recurse=False)
        if _wanted(module, name, select)
    ]
    patterns = [] if callable(select) or isinstance(select, str) else select
    dead = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for _, name in wanted)]
    if not wanted or dead:
        told = repr(dead[0]) if wanted else f"select={select!r}"
        raise ValueError(f"{told} matches no parameter of {type(network).__name__}.")
    parameters = dict(network.named_parameters(remove_duplicate=False))
    chosen = []
    for module, name in wanted:
        if parameters[name].requires_grad:
            _refuse_second_reference(module, name, parameters[name])
            chosen.append(name)
    if not chosen:
        raise ValueError(
            f"select={select!r} matches frozen parameters of {type(network).__name__} alone, which stay as they are; "
            "set requires_grad of those to generate."
        )
    by_identity: dict[int, str] = {}
    for name, parameter in parameters.items():
        first = by_identity.setdefault(id(parameter), name)
        if first != name and (name in chosen or first in chosen):
            raise ValueError(f"{name} and {first} are one shared parameter, which cannot be generated; untie them.")
    return chosen


def _refuse_second_reference(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    # Such a module would go on computing with the old values, whatever is generated.
    for key, value in vars(module).items():
        if value is parameter or (isinstance(value, (list, tuple)) and any(item is parameter for item in value)):
            raise ValueError(
                f"{name} cannot be generated: {type(module).__name__} also keeps it in {key}; select other parameters."
            )


def _wanted(module: nn.Module, name: str, select: Selector) -> bool:
    if callable(select):
        return bool(select(module, name))
    if select == "all":
        return True
    kinds = select.split("+") if isinstance(select, str) else []
    if kinds and all(kind in _KINDS for kind in kinds):
        return any(isinstance(module, _KINDS[kind]) for kind in kinds)
    patterns = [select] if isinstance(select, str) else select
    return any(fnmatchcase(name, pattern) for pattern in patterns)
