"""What an object holds on to: checks that a folded or copied network is free of the one it came from."""

from __future__ import annotations

import gc
import importlib
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
import torch.nn as nn


def assert_plain(module: nn.Module) -> None:
    """Check that nothing in it is a hypernetwork's, and its parameters are leaves with memory of their own."""
    for part in module.modules():
        cls = type(part)
        assert getattr(importlib.import_module(cls.__module__), cls.__qualname__) is cls
    kinds = {type(value).__module__ for value in reachable(module).values()}
    assert not [kind for kind in kinds if kind.startswith("monai_hyperscale.hypernet")]
    for name, parameter in module.named_parameters():
        assert parameter.is_leaf and parameter.grad_fn is None and parameter.grad is None, name
        assert parameter.untyped_storage().nbytes() == parameter.numel() * parameter.element_size(), name


def assert_shares_nothing(module: nn.Module, other: nn.Module) -> None:
    """Check that no module, tensor, memory, container or other changeable object is reachable from both."""
    mine, theirs = reachable(module), reachable(other)
    assert id(other) in theirs and any(isinstance(value, torch.Tensor) for value in theirs.values())
    shared = [type(mine[key]).__name__ for key in mine.keys() & theirs.keys() if not isinstance(mine[key], CONSTANT)]
    assert not shared, shared
    memory = [
        {value.untyped_storage().data_ptr() for value in found.values() if isinstance(value, torch.Tensor)} - {0}
        for found in (mine, theirs)
    ]
    assert memory[0] and memory[1] and not memory[0] & memory[1]


CONSTANT = (str, bytes, int, float, complex, type(None), tuple, frozenset, torch.dtype, torch.device) + (
    FunctionType,
    BuiltinFunctionType,
)


def reachable(root: Any) -> dict[int, Any]:
    """Return every object reachable from ``root`` by identity, classes and Python modules left out."""
    found: dict[int, Any] = {}
    left = [root]
    while left:
        value = left.pop()
        if id(value) in found or isinstance(value, (type, ModuleType)):
            continue
        found[id(value)] = value
        if isinstance(value, FunctionType):
            # Not its globals, through which everything is reachable from everywhere.
            left.extend(cell.cell_contents for cell in value.__closure__ or ())
            left.extend(value.__defaults__ or ())
            left.extend((value.__kwdefaults__ or {}).values())
        elif isinstance(value, MethodType):
            left.extend((value.__self__, value.__func__))
        elif not isinstance(value, BuiltinFunctionType):
            left.extend(gc.get_referents(value))
            if isinstance(value, torch.Tensor):
                left.append(value.grad)
    return found
