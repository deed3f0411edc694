"""A primary network whose weights a generator makes from the context of each call (SSHN section 3)."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Optional

import torch
import torch.nn as nn

from monai_hyperscale.errors import PhiError
from monai_hyperscale.hypernet.generated import generated_weights, restore_parameters, take_parameters
from monai_hyperscale.hypernet.generators import MLPGenerator, WeightGenerator
from monai_hyperscale.hypernet.selection import Selector, select_parameters

__all__ = ["HyperNetwork"]


class HyperNetwork(nn.Module):
    """Generates weights of ``primary`` from φ at every call, and folds to a plain network.

    ``primary`` is taken over: its selected parameters leave it and become the generator's starting point θ₀. What is
    not selected (normalisation, say) is learned as usual. If ``primary.forward`` takes ``phi``, it receives it, and
    folding goes through its ``fold``, as φ-networks need.

    Args:
        primary: any network.
        generator: default: :class:`MLPGenerator` with hidden widths (10, 16).
        select: which parameters are generated, see :func:`select_parameters`; convolutions by default.
        contexts: how many numbers φ is for the generator: 1, or one per level. A single φ stands for all of them.
        default_phi: φ of calls that name none, as tools that know only ``network(x)`` make; by default they raise.

    Raises:
        ValueError: if ``select`` matches nothing or a shared parameter, or ``contexts`` is neither 1 nor the number of
            factors that ``primary`` takes.

    Example:
        >>> import torch
        >>> from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(8, 8, 8)), MLPGenerator(hidden=(10, 8)))
        >>> x = torch.rand(1, 1, 31, 17)
        >>> plain = net.fold(phi=0.3)
        >>> torch.allclose(net(x, phi=0.3), plain(x), atol=1e-5)
        True
    """

    def __init__(
        self,
        primary: nn.Module,
        generator: Optional[WeightGenerator] = None,
        select: Selector = "convolutions",
        contexts: int = 1,
        default_phi: Any = None,
    ) -> None:
        super().__init__()
        generator = MLPGenerator() if generator is None else generator
        signature = inspect.signature(primary.forward).parameters
        self._takes_phi = "phi" in signature
        _check_contexts(primary, contexts, self._takes_phi)
        names = generator.prepare(primary, select_parameters(primary, select))
        self.contexts = contexts
        self.default_phi = default_phi
        self.generator = generator
        self._scope, values = take_parameters(primary, names)
        self.generator.bind(values, contexts)
        self.primary = primary
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [parameter for parameter in signature.values() if parameter.default is inspect.Parameter.empty]
        self._inputs = sum(parameter.kind in places for parameter in needed if parameter.name != "phi")

    @property
    def generated(self) -> tuple[str, ...]:
        """Names of the generated parameters, as the primary network knows them."""
        return tuple(self._scope.shapes)

    def context(self, phi: Any) -> torch.Tensor:
        """Return φ as the generator's input (contexts,), on the generator's device.

        Raises:
            PhiError: if φ is not made of finite numbers, or their number is neither 1 nor ``contexts``.
        """
        try:
            context = torch.as_tensor(phi, dtype=torch.float32).reshape(-1)
        except (RuntimeError, TypeError, ValueError):
            raise PhiError(f"phi must be a number or a sequence of numbers, got {phi!r}.") from None
        if not context.isfinite().all():
            raise PhiError(f"phi must be finite, got {phi!r}.")
        if context.numel() == 1 or (context.numel() != self.contexts and self._names_every_level()):
            context = self._every_level(context)
        elif context.numel() != self.contexts:
            wanted = "one phi for all levels" if self.contexts == 1 else f"one phi or {self.contexts}, one per level"
            raise PhiError(f"this hypernetwork takes {wanted}, got {context.numel()} factors; give one.")
        # Nested in another hypernetwork, the generator may have no parameter of its own.
        reference = next(self.generator.parameters(), context)
        return context.to(reference)

    def _every_level(self, context: torch.Tensor) -> torch.Tensor:
        # One φ stands for the factors that the primary network takes it for, which is not always φ for every level.
        primary: Any = self.primary
        if self._names_every_level():
            phi = context.tolist()
            return context.new_tensor(primary.per_level(phi[0] if len(phi) == 1 else phi))
        return context.expand(self.contexts)

    def _names_every_level(self) -> bool:
        primary: Any = self.primary
        return self.contexts > 1 and self._takes_phi and getattr(primary, "levels", None) == self.contexts

    def generate(self, phi: Any) -> dict[str, torch.Tensor]:
        """Return the generated weights for φ, by the primary network's parameter names.

        They are computed in float32 even under autocast: half precision loses the differences between nearby φ.
        """
        context = self.context(phi)
        with torch.autocast(context.device.type, enabled=False):
            return self.generator(context)

    def forward(self, *args: Any, phi: Any = None, **kwargs: Any) -> Any:
        """Run the primary network with the weights for ``phi``.

        Args:
            args: what the primary network takes, commonly images (B, C, *sizes). One more than it needs is φ, unless
                it is a batch (a tensor of two dimensions or more).
            phi: the context: one number, or one per level; ``default_phi`` if not given.
            kwargs: passed on to the primary network.

        Raises:
            PhiError: if ``phi`` is missing or not valid.
        """
        is_batch = bool(args) and isinstance(args[-1], torch.Tensor) and args[-1].dim() > 1
        if phi is None and len(args) == self._inputs + 1 and not is_batch:
            args, phi = args[:-1], args[-1]
        if phi is None:
            phi = self.default_phi
        if phi is None:
            raise PhiError("call the hypernetwork with phi=..., or fold(phi) it first.")
        if self._takes_phi:
            kwargs["phi"] = phi
        with generated_weights(self._scope, self.generate(self._checked(phi))):
            return self.primary(*args, **kwargs)

    def fold(self, phi: Any) -> nn.Module:
        """Return a plain copy of the primary network with the weights for ``phi``, in evaluation mode.

        It shares nothing with the hypernetwork: it may be trained on, scripted, exported or saved by itself.

        Raises:
            PhiError: if ``phi`` is not valid.
        """
        with torch.no_grad():
            weights = self.generate(self._checked(phi))
        plain: Any
        plain, scope = copy.deepcopy((self.primary, self._scope))
        restore_parameters(plain, scope, weights)
        if self._takes_phi and hasattr(plain, "fold"):
            plain = plain.fold(phi)
        return plain.eval()

    def _checked(self, phi: Any) -> Any:
        # The primary network knows what it accepts; the error then comes before any weight is generated. A network
        # that takes no phi may have attributes of these names, which then mean something else.
        primary: Any = self.primary
        return primary.factors(phi) if self._takes_phi and hasattr(primary, "factors") else phi


def _check_contexts(primary: Any, contexts: int, takes_phi: bool) -> None:
    levels = getattr(primary, "levels", None)
    # With the weight of a regularisation there are two numbers where the levels share one factor.
    least = 2 if getattr(primary, "regularization_context", False) else 1
    if takes_phi and hasattr(primary, "factors") and isinstance(levels, int) and contexts not in (least, levels):
        wanted = f"{least} or {levels}, one per level" if levels > least else f"{least}"
        raise ValueError(f"contexts must be {wanted}, for this {type(primary).__name__}; got {contexts}.")
