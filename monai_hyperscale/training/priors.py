"""Priors over the context: which φ an iteration trains, and what beside it (SSHN sections 3 and 5.2).

A prior is a function of the seed and the iteration alone. It has no state, so a resumed training continues the same
sequence, and every process of a distributed one draws the same φ.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from monai_hyperscale.bundle.methods import FIXED_PHI
from monai_hyperscale.context import Context, ContextNumber
from monai_hyperscale.networks.layers.factor import Phi, as_factors, check_factor
from monai_hyperscale.search.workload import as_phi

#: One factor, or one per level.
Drawn = Union[float, tuple[float, ...]]


class PhiPrior:
    """A distribution of φ, and beside it of other numbers of the context, each even over a range of its own.

    HyperMorph draws λ, the weight of the regularisation, in this way (section 3). A range that is empty or not within
    [0, 1], and no level, are a ValueError.

    Args:
        levels: ``None`` for one factor for the whole network, or how many, one per level (SSHN C.2).
        seed: of the sequence.
        rescale_input: whether the first of the levels is the input itself, whose factor is min(1, 2φ): at ordinary
            halving it keeps its full resolution.
        others: least and greatest value of every other number, by its name; ``None`` where it is not drawn.
    """

    def __init__(
        self,
        levels: Optional[int] = None,
        seed: int = 0,
        rescale_input: bool = False,
        others: Optional[Mapping[str, Optional[Sequence[float]]]] = None,
    ) -> None:
        if levels is not None and levels < 1:
            raise ValueError(f"levels must be None or at least 1, got {levels}.")
        self.levels = levels
        self.seed = seed
        self.rescale_input = rescale_input
        self.others: dict[str, ContextNumber] = {}
        for name, ends in (others or {}).items():
            if ends is not None:
                low, high = map(check_factor, ends)
                self.others[name] = ContextNumber(name, low, high)

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
        """Return ``count`` φ of an iteration, one from each of as many equally likely strata, mixed for every level."""
        generator = self._generator("phi", iteration)
        if self.levels is None:
            return [self.quantile(u) for u in _strata(generator, count)]
        factors = [[self.quantile(u) for u in _shuffled(generator, count)] for _ in range(self.levels)]
        if self.rescale_input:
            factors[0] = [min(1.0, 2 * factor) for factor in factors[0]]
        return list(zip(*factors, strict=True))

    def contexts(self, iteration: int, count: int = 1) -> list[Context]:
        """Return :meth:`several` φ with the other numbers, each of which has its strata, as inferers carry them."""
        drawn: dict[str, Sequence] = {"phi": self.several(iteration, count)}
        for name, number in self.others.items():
            shares = _shuffled(self._generator(name, iteration), count)
            drawn[name] = [number.low + (number.high - number.low) * u for u in shares]
        return [Context(**dict(zip(drawn, values, strict=True))) for values in zip(*drawn.values(), strict=True)]

    def _generator(self, name: str, iteration: int) -> random.Random:
        return random.Random(f"{name} {self.seed} {iteration}")


class UniformPhi(PhiPrior):
    """U(low, high), by default U(0, 0.5) as in SSHN; Amortized and SSHN C.2 take U(0, 1).

    An ``exponent`` above 1 draws more of the greater factors, which cost and gain more: the distribution function is
    ``((φ − low) / (high − low)) ** exponent``. Further arguments, and errors, are those of :class:`PhiPrior`.

    Example:
        >>> prior = UniformPhi(0.0, 0.5, seed=1)
        >>> prior(7) == prior(7), prior(7) == prior(8), 0 <= prior(7) < 0.5
        (True, False, True)
    """

    def __init__(self, low: float = 0.0, high: float = 0.5, exponent: float = 1.0, **shared: Any) -> None:
        super().__init__(**shared)
        self.low, self.high = check_factor(low), check_factor(high)
        if self.low > self.high or exponent <= 0:
            raise ValueError(f"expected low <= high and exponent > 0, got {low}, {high}, {exponent}.")
        self.exponent = exponent

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile(self, u: float) -> float:
        return self.low + (self.high - self.low) * u ** (1 / self.exponent)


class ChoicePhi(PhiPrior):
    """One of a list of factors, each as likely as the next; further arguments, and errors, are :class:`PhiPrior`'s.

    Every level draws its own; or, where one of the values is a sequence with a factor for every level, all are drawn
    together. Sequences name the factor of a rescaled input as it is.

    Example:
        >>> {ChoicePhi([0.1, 0.5])(iteration) for iteration in range(20)} == {0.1, 0.5}, ChoicePhi([[0.5, 0.3]])(1)
        (True, (0.5, 0.3))
    """

    def __init__(self, values: Sequence[Phi], **shared: Any) -> None:
        super().__init__(**shared)
        if not values:
            raise ValueError("values must name at least one factor, got none.")
        self.values = tuple(as_phi(value) for value in values)
        self._together = any(isinstance(value, tuple) for value in self.values)

    @property
    def range(self) -> tuple[float, float]:
        per_level = [value for value in self.values if isinstance(value, tuple)]
        factors = [value for value in self.values if isinstance(value, float)]
        factors += [factor for value in per_level for factor in value[self.rescale_input :]]
        return min(factors), max(factors)

    def quantile(self, u: float) -> float:
        value = self._choice(u)
        if isinstance(value, tuple):
            raise ValueError(f"a level has no factor of its own where all are drawn together, as {value} is.")
        return value

    def several(self, iteration: int, count: int) -> list[Drawn]:
        if self._together:
            return [self._choice(u) for u in _strata(self._generator("phi", iteration), count)]
        return super().several(iteration, count)

    def _choice(self, u: float) -> Drawn:
        return self.values[int(u * len(self.values))]


class FixedPhi(ChoicePhi):
    """Always the same φ, one or one per level: an ordinary network."""

    def __init__(self, value: Phi, **shared: Any) -> None:
        super().__init__([value], **shared)


def _strata(generator: random.Random, count: int) -> list[float]:
    """Return numbers in [0, 1), one in each of ``count`` equal parts, at one place in all of them."""
    u = generator.random()
    return [(k + u) / count for k in range(count)]


def _shuffled(generator: random.Random, count: int) -> list[float]:
    drawn = _strata(generator, count)
    if count > 1:
        generator.shuffle(drawn)
    return drawn


def phi_prior(
    phi: Union[None, float, Sequence[Phi]],
    low: float = 0.0,
    high: float = 0.5,
    exponent: float = 1.0,
    seed: int = 0,
    method: str = "sshn",
    levels: Optional[int] = None,
    rescale_input: bool = False,
    **others: Optional[Sequence[float]],
) -> PhiPrior:
    """Return the prior that a ``phi`` override means: of one number, of a list, or :class:`UniformPhi` for ``None``.

    ``low``, ``high`` and ``exponent`` are that one's, ``levels``, ``seed``, ``rescale_input`` and ``others`` those of
    :class:`PhiPrior`. With the ``method`` ``fixed`` no φ is drawn: ``None`` is 0.5, a list one factor per level.

    Example:
        >>> phi_prior([0.1, 0.3])(1) in (0.1, 0.3), phi_prior([0.5, 0.4], method="fixed")(1)
        (True, (0.5, 0.4))
    """
    shared: dict[str, Any] = {"levels": levels, "seed": seed, "rescale_input": rescale_input, "others": others}
    if method == "fixed":
        return FixedPhi(FIXED_PHI if phi is None else as_phi(phi), **shared)  # type: ignore[arg-type]
    if phi is None:
        return UniformPhi(low, high, exponent, **shared)
    if isinstance(phi, Sequence) and not isinstance(phi, str):
        return ChoicePhi(phi, **shared)
    return FixedPhi(check_factor(phi), **shared)


def validation_contexts(
    val_phi: Union[None, float, Sequence[Phi]], prior: PhiPrior, **others: Union[None, float, Sequence[float]]
) -> tuple[Context, ...]:
    """Return what validation and report run at: each of ``val_phi`` with one value or several of every other number.

    ``None`` is for the φ that the prior draws: all of a list, or six evenly over a range; and for the middle of others.

    Example:
        >>> validation_contexts(0.1, phi_prior(None, regularization=(0.2, 0.6)), regularization=[0.3, 0.4])
        (Context(phi=0.1, regularization=0.3), Context(phi=0.1, regularization=0.4))
    """
    choices: dict[str, Sequence] = {"phi": _validated_phis(val_phi, prior)}
    for name, number in prior.others.items():
        given = others.get(name)
        values = given if isinstance(given, Sequence) else [given]
        choices[name] = [
            round((number.low + number.high) / 2, 4) if value is None else check_factor(value) for value in values
        ]
    return tuple(Context(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values()))


def _validated_phis(val_phi: Union[None, float, Sequence[Phi]], prior: PhiPrior) -> Sequence[Drawn]:
    if val_phi is not None:
        values = val_phi if isinstance(val_phi, Sequence) else (val_phi,)
        return tuple(as_phi(value) for value in values)
    if isinstance(prior, ChoicePhi):
        return tuple(sorted(set(prior.values), key=as_factors))
    low, high = prior.range
    return (low,) if low == high else tuple(round(low + (high - low) * step / 5, 4) for step in range(6))
