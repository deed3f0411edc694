"""Priors over the context: which φ an iteration trains, and what beside it (SSHN sections 3 and 5.2).

A prior is a function of the seed and the iteration alone. It has no state, so a resumed training continues the same
sequence, and every process of a distributed one draws the same φ.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Optional, Union

from monai_hyperscale.bundle.methods import FIXED_PHI
from monai_hyperscale.context import Context, ContextNumber
from monai_hyperscale.networks.layers.factor import Phi, as_factors, check_factor

__all__ = [
    "AroundPhi",
    "ChoicePhi",
    "ContextPrior",
    "FixedPhi",
    "PhiPrior",
    "UniformPhi",
    "phi_prior",
    "validation_contexts",
]

#: One factor, or one per level.
Drawn = Union[float, tuple[float, ...]]


class PhiPrior:
    """A distribution of φ.

    Args:
        levels: ``None`` for one factor for the whole network, or how many independent factors, one per level
            (SSHN C.2).
        seed: seed of the sequence.
        rescale_input: whether the first of the levels is the input itself, whose factor is min(1, 2φ): at ordinary
            halving it keeps its full resolution.
    """

    def __init__(self, levels: Optional[int] = None, seed: int = 0, rescale_input: bool = False) -> None:
        if levels is not None and levels < 1:
            raise ValueError(f"levels must be None or at least 1, got {levels}.")
        self.levels = levels
        self.seed = seed
        self.rescale_input = rescale_input

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn; of a rescaled input, before its doubling."""
        raise NotImplementedError

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        raise NotImplementedError

    def __call__(self, iteration: int) -> Drawn:
        """Return the φ of an iteration, counted from 1: a number, or one per level."""
        return self.several(iteration, 1)[0]

    def several(self, iteration: int, count: int) -> list[Drawn]:
        """Return ``count`` φ of an iteration, one from each of as many equally likely strata.

        They spread over the whole distribution, so the gradient of a step with all of them depends less on the draw.
        With one factor per level every level has its strata, in an order of its own.
        """
        generator = self._generator(iteration)
        if self.levels is None:
            return [self.quantile(u) for u in _strata(generator, count)]
        factors = [[self.quantile(u) for u in _shuffled(generator, count)] for _ in range(self.levels)]
        if self.rescale_input:
            factors[0] = [min(1.0, 2 * factor) for factor in factors[0]]
        return list(zip(*factors, strict=True))

    def contexts(self, iteration: int, count: int = 1) -> list[Context]:
        """Return :meth:`several` φ as contexts, which inferers carry."""
        return [Context(phi=phi) for phi in self.several(iteration, count)]

    def _generator(self, iteration: int) -> random.Random:
        return random.Random(f"phi {self.seed} {iteration}")


class UniformPhi(PhiPrior):
    """U(low, high), by default U(0, 0.5) as in SSHN; Amortized and SSHN C.2 take U(0, 1).

    Args:
        low: least φ.
        high: greatest φ.
        exponent: 1 is uniform; above 1 draws more of the greater factors, which cost and gain more: the distribution
            function is ``((φ − low) / (high − low)) ** exponent``.
        levels: see :class:`PhiPrior`.
        seed: see :class:`PhiPrior`.
        rescale_input: see :class:`PhiPrior`.

    Raises:
        ValueError: if the range is empty or not within [0, 1].

    Example:
        >>> prior = UniformPhi(0.0, 0.5, seed=1)
        >>> prior(7) == prior(7), prior(7) == prior(8), 0 <= prior(7) < 0.5
        (True, False, True)
    """

    def __init__(
        self,
        low: float = 0.0,
        high: float = 0.5,
        exponent: float = 1.0,
        levels: Optional[int] = None,
        seed: int = 0,
        rescale_input: bool = False,
    ) -> None:
        super().__init__(levels, seed, rescale_input)
        self.low, self.high = check_factor(low), check_factor(high)
        if self.low > self.high or exponent <= 0:
            raise ValueError(f"expected low <= high and exponent > 0, got {low}, {high}, {exponent}.")
        self.exponent = exponent

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn."""
        return self.low, self.high

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        return self.low + (self.high - self.low) * u ** (1 / self.exponent)


class AroundPhi(UniformPhi):
    """U(center − radius, center + radius) cut to [0, 1]: the narrow priors of SSHN section 5.2.

    Example:
        >>> AroundPhi(0.5, 0.05).range
        (0.45, 0.55)
    """

    def __init__(
        self,
        center: float,
        radius: float,
        levels: Optional[int] = None,
        seed: int = 0,
        rescale_input: bool = False,
    ) -> None:
        if radius < 0:
            raise ValueError(f"radius must not be negative, got {radius}.")
        center = check_factor(center)
        low, high = max(0.0, center - radius), min(1.0, center + radius)
        super().__init__(low, high, levels=levels, seed=seed, rescale_input=rescale_input)


class ChoicePhi(PhiPrior):
    """One of a list of factors, each as likely as the next.

    Args:
        values: factors, of which every level draws its own; or, where one of them is a sequence with a factor for every
            level, all that is drawn.
        levels: see :class:`PhiPrior`.
        seed: see :class:`PhiPrior`.
        rescale_input: see :class:`PhiPrior`; sequences name the input's factor as it is.

    Raises:
        ValueError: if there is no factor, or one is not within [0, 1].

    Example:
        >>> {ChoicePhi([0.1, 0.5])(iteration) for iteration in range(20)} == {0.1, 0.5}
        True
        >>> ChoicePhi([[0.5, 0.4, 0.3]])(1)
        (0.5, 0.4, 0.3)
    """

    def __init__(
        self, values: Sequence[Phi], levels: Optional[int] = None, seed: int = 0, rescale_input: bool = False
    ) -> None:
        super().__init__(levels, seed, rescale_input)
        if not values:
            raise ValueError("values must name at least one factor, got none.")
        self.values = tuple(one_or_per_level(value) for value in values)
        self._together = any(isinstance(value, tuple) for value in self.values)

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn; of a rescaled input, before its doubling."""
        factors: list[float] = []
        for value in self.values:
            if isinstance(value, tuple):
                factors += value[1:] if self.rescale_input else value
            else:
                factors.append(value)
        return min(factors), max(factors)

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        value = self._choice(u)
        if isinstance(value, tuple):
            raise ValueError(f"a level has no factor of its own where all are drawn together, as {value} is.")
        return value

    def several(self, iteration: int, count: int) -> list[Drawn]:
        """Return ``count`` φ of an iteration, see :class:`PhiPrior`."""
        if self._together:
            return [self._choice(u) for u in _strata(self._generator(iteration), count)]
        return super().several(iteration, count)

    def _choice(self, u: float) -> Drawn:
        return self.values[int(u * len(self.values))]


class FixedPhi(ChoicePhi):
    """Always the same φ, one or one per level: an ordinary network.

    Example:
        >>> FixedPhi(0.3)(1), FixedPhi(0.3, levels=3, rescale_input=True)(1)
        (0.3, (0.6, 0.3, 0.3))
    """

    def __init__(self, value: Phi, levels: Optional[int] = None, seed: int = 0, rescale_input: bool = False) -> None:
        super().__init__([value], levels, seed, rescale_input)


class ContextPrior:
    """φ of a prior, and beside it other numbers of the context, each drawn evenly from a range of its own.

    HyperMorph draws λ, the weight of the regularisation, in this way (section 3).

    Args:
        phi: prior of φ.
        others: least and greatest value of every other number, by its name; ``None`` where it is not drawn.

    Raises:
        ValueError: if a range is empty or not within [0, 1].

    Example:
        >>> prior = ContextPrior(FixedPhi(0.3), regularization=(0.2, 0.4))
        >>> (context,) = prior.contexts(1)
        >>> context["phi"], 0.2 <= context["regularization"] < 0.4
        (0.3, True)
    """

    def __init__(self, phi: PhiPrior, **others: Optional[Sequence[float]]) -> None:
        self.phi = phi
        self.others: dict[str, ContextNumber] = {}
        for name, ends in others.items():
            if ends is not None:
                low, high = map(check_factor, ends)
                self.others[name] = ContextNumber(name, low, high)

    def contexts(self, iteration: int, count: int = 1) -> list[Context]:
        """Return ``count`` contexts of an iteration, see :meth:`PhiPrior.several`; every number has its strata."""
        drawn: dict[str, list] = {"phi": self.phi.several(iteration, count)}
        for name, number in self.others.items():
            generator = random.Random(f"{name} {self.phi.seed} {iteration}")
            drawn[name] = [number.low + (number.high - number.low) * u for u in _shuffled(generator, count)]
        return [Context(**dict(zip(drawn, values, strict=True))) for values in zip(*drawn.values(), strict=True)]


def _strata(generator: random.Random, count: int) -> list[float]:
    """Return numbers in [0, 1), one in each of ``count`` equal parts, at one place in all of them."""
    u = generator.random()
    return [(k + u) / count for k in range(count)]


def _shuffled(generator: random.Random, count: int) -> list[float]:
    drawn = _strata(generator, count)
    if count > 1:
        generator.shuffle(drawn)
    return drawn


def one_or_per_level(phi: Phi) -> Drawn:
    """Return φ as one checked number, or as a tuple of them, one per level.

    Example:
        >>> one_or_per_level(0.5), one_or_per_level([0.5]), one_or_per_level([0.5, 0.4])
        (0.5, 0.5, (0.5, 0.4))
    """
    factors = as_factors(phi)
    return factors[0] if len(factors) == 1 else factors


def phi_prior(
    phi: Union[None, float, Sequence[Phi]],
    low: float = 0.0,
    high: float = 0.5,
    exponent: float = 1.0,
    seed: int = 0,
    method: str = "sshn",
    levels: Optional[int] = None,
    rescale_input: bool = False,
) -> PhiPrior:
    """Return the prior that a ``phi`` override means: none given, a number, or a list.

    Args:
        phi: ``None`` for U(low, high), a number to train for that alone, a list to draw from it.
        low: see :class:`UniformPhi`.
        high: see :class:`UniformPhi`.
        exponent: see :class:`UniformPhi`.
        seed: see :class:`PhiPrior`.
        method: the bundle's; with ``fixed`` no φ is drawn: ``None`` stands for 0.5, and a list is one factor per level.
        levels: see :class:`PhiPrior`.
        rescale_input: see :class:`PhiPrior`.

    Example:
        >>> type(phi_prior(None)).__name__, type(phi_prior(0.3)).__name__, type(phi_prior([0.1, 0.3])).__name__
        ('UniformPhi', 'FixedPhi', 'ChoicePhi')
        >>> phi_prior(None, method="fixed")(1), phi_prior([0.5, 0.4], method="fixed")(1)
        (0.5, (0.5, 0.4))
    """
    if method == "fixed":
        fixed = FIXED_PHI if phi is None else one_or_per_level(phi)  # type: ignore[arg-type]
        return FixedPhi(fixed, levels, seed, rescale_input)
    if phi is None:
        return UniformPhi(low, high, exponent, levels, seed, rescale_input)
    if isinstance(phi, Sequence) and not isinstance(phi, str):
        return ChoicePhi(phi, levels, seed, rescale_input)
    return FixedPhi(check_factor(phi), levels, seed, rescale_input)


def validation_contexts(
    val_phi: Union[None, float, Sequence[Phi]],
    prior: Union[PhiPrior, ContextPrior],
    **others: Union[None, float, Sequence[float]],
) -> tuple[Context, ...]:
    """Return what validation and report run at.

    Args:
        val_phi: one φ or several, each a number or one number per level; ``None`` for those that the prior draws: all
            of a list, or six evenly spread over a range.
        prior: of the training.
        others: one value or several, to go with each φ, of the other numbers that the prior draws; ``None`` for the
            middle of the range.

    Example:
        >>> [context["phi"] for context in validation_contexts(None, UniformPhi(0.0, 0.5))]
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
        >>> validation_contexts([0.5, [0.5, 0.4]], UniformPhi(levels=2))
        (Context(phi=0.5), Context(phi=(0.5, 0.4)))
        >>> validation_contexts(0.1, ContextPrior(UniformPhi(), regularization=(0.2, 0.6)), regularization=[0.3, 0.4])
        (Context(phi=0.1, regularization=0.3), Context(phi=0.1, regularization=0.4))
    """
    of_phi, drawn = (prior.phi, prior.others) if isinstance(prior, ContextPrior) else (prior, {})
    choices: dict[str, Sequence] = {"phi": _validated_phis(val_phi, of_phi)}
    for name, number in drawn.items():
        given = others.get(name)
        values = given if isinstance(given, Sequence) else [given]
        choices[name] = [round(number.middle, 4) if value is None else check_factor(value) for value in values]
    return tuple(Context(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values()))


def _validated_phis(val_phi: Union[None, float, Sequence[Phi]], prior: PhiPrior) -> Sequence[Drawn]:
    if val_phi is not None:
        values = val_phi if isinstance(val_phi, Sequence) else (val_phi,)
        return tuple(one_or_per_level(value) for value in values)
    if isinstance(prior, ChoicePhi):
        return tuple(sorted(set(prior.values), key=as_factors))
    low, high = prior.range
    return (low,) if low == high else tuple(round(low + (high - low) * step / 5, 4) for step in range(6))
