"""Parameters whose values are generated: they exist only inside the forward pass that generated them.

A generated parameter is taken off its module and read through a property that looks in a context variable. So two
threads with two contexts never meet, and a read outside a forward pass raises rather than giving a stale value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn as nn

from monai_hyperscale.errors import GeneratedWeightError

__all__ = ["Scope", "generated_weights", "restore_parameters", "take_parameters"]


class Scope:
    """Identity of one hypernetwork's generated weights; a copy of the hypernetwork copies it along."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self.shapes = dict(shapes)


_WEIGHTS: ContextVar[Mapping[Scope, Mapping[str, torch.Tensor]] | None] = ContextVar("weights", default=None)
_CLASSES: dict[tuple[type[nn.Module], tuple[str, ...]], type[nn.Module]] = {}


@contextmanager
def generated_weights(scope: Scope, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Give the generated parameters of ``scope`` these values inside the block, in this thread."""
    token = _WEIGHTS.set({**(_WEIGHTS.get() or {}), scope: weights})
    try:
        yield
    finally:
        _WEIGHTS.reset(token)


def take_parameters(network: nn.Module, names: Sequence[str]) -> tuple[Scope, dict[str, torch.Tensor]]:
    """Take parameters off ``network`` in place; return the scope to generate them in, and their values so far."""
    values = {name: network.get_parameter(name).detach() for name in names}
    scope = Scope({name: value.shape for name, value in values.items()})
    for name in names:
        path, _, attribute = name.rpartition(".")
        module = network.get_submodule(path)
        del module._parameters[attribute]
        _set_generated(module, {**_generated(module), attribute: (scope, name)})
    return scope, values


def restore_parameters(network: nn.Module, scope: Scope, weights: Mapping[str, torch.Tensor]) -> None:
    """Undo :func:`take_parameters` in place with these values; what another scope generates stays generated."""
    for module in list(network.modules()):
        generated = _generated(module)
        ours = {attribute: name for attribute, (owner, name) in generated.items() if owner is scope}
        if not ours:
            continue
        _set_generated(module, {key: value for key, value in generated.items() if key not in ours})
        for attribute, name in ours.items():
            module.register_parameter(attribute, nn.Parameter(weights[name].detach().clone()))


def _generated(module: nn.Module) -> dict[str, tuple[Scope, str]]:
    # The generated attributes of this very module: the scope of each, and the full name it has there.
    return module.__dict__.get("_generated", {})


def _set_generated(module: nn.Module, generated: dict[str, tuple[Scope, str]]) -> None:
    base = type(module).__mro__[1] if _generated(module) else type(module)
    module.__dict__.pop("_generated", None)
    module.__class__ = base
    if generated:
        module.__dict__["_generated"] = generated
        module.__class__ = _generated_class(base, tuple(generated))


def _generated_class(base: type[nn.Module], attributes: tuple[str, ...]) -> type[nn.Module]:
    key = (base, attributes)
    if key not in _CLASSES:
        members: dict[str, Any] = {name: _generated_property(name) for name in attributes}
        members["__getattr__"] = _generated_getattr(base)
        members["extra_repr"] = _generated_extra_repr(base)
        members["__reduce_ex__"] = lambda self, _protocol: (_rebuild, key, self.__dict__)
        members["__module__"] = base.__module__
        _CLASSES[key] = type(base.__name__, (base,), members)
    return _CLASSES[key]


def _rebuild(base: type[nn.Module], attributes: tuple[str, ...]) -> nn.Module:
    cls = _generated_class(base, attributes)
    return cls.__new__(cls)


def _generated_property(attribute: str) -> property:
    def read(self: nn.Module) -> torch.Tensor:
        scope, name = self.__dict__["_generated"][attribute]
        weights = (_WEIGHTS.get() or {}).get(scope)
        if weights is None:
            raise _no_value(name)
        return weights[name]

    return property(read)


def _generated_getattr(base: type[nn.Module]) -> Callable[[nn.Module, str], Any]:
    def getattribute(self: nn.Module, attribute: str) -> Any:
        # Python comes here after the property has raised, since its error is an AttributeError too.
        if attribute in _generated(self):
            raise _no_value(_generated(self)[attribute][1])
        return base.__getattr__(self, attribute)

    return getattribute


def _no_value(name: str) -> GeneratedWeightError:
    return GeneratedWeightError(
        f"{name} is generated by a hypernetwork and has a value only inside its forward pass; "
        "call fold(phi) for a plain network with readable weights."
    )


def _generated_extra_repr(base: type[nn.Module]) -> Callable[[nn.Module], str]:
    def extra_repr(self: nn.Module) -> str:
        # Layers look at their own weights to print themselves; shapes are enough for that.
        with ExitStack() as stack:
            for scope, _ in _generated(self).values():
                blank = {name: torch.empty(shape, device="meta") for name, shape in scope.shapes.items()}
                stack.enter_context(generated_weights(scope, blank))
            return ", ".join(filter(None, (base.extra_repr(self), "generated")))

    return extra_repr
