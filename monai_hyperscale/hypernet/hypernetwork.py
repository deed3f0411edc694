"""A primary network whose weights a generator makes from the context of each call (SSHN section 3)."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

import torch
import torch.nn as nn

from monai_hyperscale.context import Context, ContextNumber, ContextSpec
from monai_hyperscale.hypernet.generated import generated_weights, restore_parameters, take_parameters
from monai_hyperscale.hypernet.generators import MLPGenerator, WeightGenerator
from monai_hyperscale.hypernet.selection import Selector, select_parameters


class HyperNetwork(nn.Module):
    """Generates weights of ``primary`` from φ, or other numbers, at every call, and folds to a plain network.

    ``primary`` is taken over: its selected parameters leave it and become the generator's starting point θ₀; what is
    not selected (normalisation, say) is learned as usual. Those numbers that ``primary.forward`` takes by name, such as
    φ, it receives, and folding goes through its ``fold``. Its layers with the attribute ``keep_start = True``, such as
    one with weights near zero in front of a displacement field, start as large as they are.

    Args:
        primary: any network.
        generator: default: :class:`MLPGenerator` with hidden widths (10, 16).
        select: which parameters are generated, see :func:`select_parameters`; convolutions by default.
        context: the numbers that the weights are generated from; by default one φ. Where ``primary`` has a ``context``
            of its own, as φ-networks have, it says how many levels there are and what one φ stands for. Numbers with
            a default may be left out of calls, as tools need that know only ``network(x)``.

    Raises:
        ValueError: if ``select`` matches nothing or a shared parameter, or a number of ``context`` has neither one
            value nor as many as ``primary`` has levels.

    Example:
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(8, 8, 8)), MLPGenerator(hidden=(10, 8)))
        >>> x = torch.rand(1, 1, 31, 17)
        >>> torch.allclose(net(x, phi=0.3), net.fold(phi=0.3)(x), atol=1e-5)
        True
    """

    def __init__(
        self,
        primary: nn.Module,
        generator: Optional[WeightGenerator] = None,
        select: Selector = "convolutions",
        context: Optional[ContextSpec] = None,
    ) -> None:
        super().__init__()
        generator = MLPGenerator() if generator is None else generator
        signature = inspect.signature(primary.forward).parameters
        self.context = _resolved(context, primary, signature)
        self._taken = tuple(name for name in self.context.names if name in signature)
        names = generator.prepare({name: _layer(primary, name) for name in select_parameters(primary, select)})
        keep_start = {name for name in names if getattr(_layer(primary, name), "keep_start", False)}
        self.generator = generator
        self._scope, values = take_parameters(primary, names)
        self.generator.bind(values, self.context.width, keep_start)
        self.primary = primary
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [parameter for parameter in signature.values() if parameter.default is inspect.Parameter.empty]
        self._inputs = sum(parameter.kind in places and parameter.name not in self.context for parameter in needed)
        # Names of further arguments; None where any will do.
        open_end = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in signature.values())
        self._options = None if open_end else frozenset(signature)

    @property
    def generated(self) -> tuple[str, ...]:
        """Names of the generated parameters, as the primary network knows them."""
        return tuple(self._scope.shapes)

    def generate(self, phi: Any = None, **numbers: Any) -> dict[str, torch.Tensor]:
        """Return the generated weights for a context, as :meth:`fold` takes it, by the primary network's names.

        They are computed in float32 even under autocast: half precision loses the differences between nearby φ.
        """
        return self._generate(self.context(phi=phi, **numbers))

    def _generate(self, context: Context) -> dict[str, torch.Tensor]:
        values = torch.tensor(self.context.flat(context), dtype=torch.float32)
        # Nested in another hypernetwork, the generator may have no parameter of its own.
        values = values.to(next(self.generator.parameters(), values))
        with torch.autocast(values.device.type, enabled=False):
            return self.generator(values)

    def forward(self, *args: Any, phi: Any = None, **kwargs: Any) -> Any:
        """Run the primary network with the weights for a context.

        Args:
            args: what the primary network takes, commonly images (B, C, *sizes). One more than it needs is φ, unless it
                is a batch (a tensor of two dimensions or more).
            phi: one number, or one per level.
            kwargs: the other numbers of :attr:`context`, and what the primary network takes by name. A number that is
                unknown, missing or not valid is a :class:`PhiError`.
        """
        is_batch = bool(args) and isinstance(args[-1], torch.Tensor) and args[-1].dim() > 1
        if phi is None and len(args) == self._inputs + 1 and not is_batch:
            args, phi = args[:-1], args[-1]
        named = {name for name in kwargs if name in self.context}
        if self._options is not None:
            named |= kwargs.keys() - self._options  # and what neither knows, for the context to refuse
        context = self.context(phi=phi, **{name: kwargs.pop(name) for name in named})
        with generated_weights(self._scope, self._generate(context)):
            return self.primary(*args, **kwargs, **{name: context[name] for name in self._taken})

    def fold(self, phi: Any = None, **numbers: Any) -> nn.Module:
        """Return a plain copy of the primary network with the weights for a context, in evaluation mode.

        It shares nothing with the hypernetwork: it may be trained on, scripted, exported or saved by itself. ``phi`` is
        one number, or one per level; one that is unknown, missing or not valid is a :class:`PhiError`.
        """
        context = self.context(phi=phi, **numbers)
        with torch.no_grad():
            weights = self._generate(context)
        plain: Any
        plain, scope = copy.deepcopy((self.primary, self._scope))
        restore_parameters(plain, scope, weights)
        if self._taken and hasattr(plain, "fold"):
            plain = plain.fold(**{name: context[name] for name in self._taken})
        return plain.eval()


def _layer(primary: nn.Module, parameter: str) -> nn.Module:
    return primary.get_submodule(parameter.rpartition(".")[0])


def _resolved(context: Optional[ContextSpec], primary: nn.Module, signature: Mapping[str, Any]) -> ContextSpec:
    """Return the context with what the primary network says of the numbers that it takes itself."""
    said = getattr(primary, "context", None)
    own = {number.name: number for number in said if number.name in signature} if isinstance(said, ContextSpec) else {}
    if context is None:
        anything = ContextNumber("phi", -math.inf, math.inf, limits=(-math.inf, math.inf))
        return ContextSpec(replace(own["phi"], count=1) if "phi" in own else anything)
    found = []
    for number in context:
        known = own.get(number.name)
        if known is None and number.count is None:
            raise ValueError(
                f"{type(primary).__name__} does not say how many levels it has; give {number.name} a count."
            )
        if known is not None and number.count != 1:
            if number.count not in (None, known.count):
                wanted = "1" if known.count == 1 else f"1 or {known.count}, one per level"
                raise ValueError(
                    f"the count of {number.name} must be {wanted}, for this {type(primary).__name__}; "
                    f"got {number.count}."
                )
            number = replace(number, count=known.count, first=known.first)
        found.append(number)
    return ContextSpec(*found)
