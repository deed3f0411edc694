"""Priors over the rescaling factor: which φ an iteration trains (SSHN sections 3 and 5.2).

A prior is a function of the seed and the iteration alone. It has no state, so a resumed training continues the same
sequence, and every process of a distributed one draws the same φ.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Optional, Union

from monai_hyperscale.networks.layers.factor import check_factor

__all__ = ["AroundPhi", "ChoicePhi", "FixedPhi", "PhiPrior", "UniformPhi", "phi_prior", "validation_phis"]


class PhiPrior:
    """A distribution of φ.

    Args:
        levels: ``None`` for one factor for the whole network, or how many independent factors, one per level
            (SSHN C.2).
        seed: seed of the sequence.
    """

    def __init__(self, levels: Optional[int] = None, seed: int = 0) -> None:
        if levels is not None and levels < 1:
            raise ValueError(f"levels must be None or at least 1, got {levels}.")
        self.levels = levels
        self.seed = seed

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn."""
        raise NotImplementedError

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        raise NotImplementedError

    def __call__(self, iteration: int) -> Union[float, tuple[float, ...]]:
        """Return the φ of an iteration, counted from 1: a number, or one per level."""
        generator = random.Random(f"phi {self.seed} {iteration}")
        if self.levels is None:
            return self.quantile(generator.random())
        return tuple(self.quantile(generator.random()) for _ in range(self.levels))


class UniformPhi(PhiPrior):
    """U(low, high), by default U(0, 0.5) as in SSHN; Amortized and SSHN C.2 take U(0, 1).

    Args:
        low: least φ.
        high: greatest φ.
        exponent: 1 is uniform; above 1 draws more of the greater factors, which cost and gain more: the distribution
            function is ``((φ − low) / (high − low)) ** exponent``.
        levels: see :class:`PhiPrior`.
        seed: see :class:`PhiPrior`.

    Raises:
        ValueError: if the range is empty or not within [0, 1].

    Example:
        >>> prior = UniformPhi(0.0, 0.5, seed=1)
        >>> prior(7) == prior(7), prior(7) == prior(8), 0 <= prior(7) < 0.5
        (True, False, True)
    """

    def __init__(
        self, low: float = 0.0, high: float = 0.5, exponent: float = 1.0, levels: Optional[int] = None, seed: int = 0
    ) -> None:
        super().__init__(levels, seed)
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

    def __init__(self, center: float, radius: float, levels: Optional[int] = None, seed: int = 0) -> None:
        if radius < 0:
            raise ValueError(f"radius must not be negative, got {radius}.")
        center = check_factor(center)
        super().__init__(max(0.0, center - radius), min(1.0, center + radius), levels=levels, seed=seed)


class ChoicePhi(PhiPrior):
    """One of a list of factors, each as likely as the next.

    Example:
        >>> {ChoicePhi([0.1, 0.5])(iteration) for iteration in range(20)} == {0.1, 0.5}
        True
    """

    def __init__(self, values: Sequence[float], levels: Optional[int] = None, seed: int = 0) -> None:
        super().__init__(levels, seed)
        if not values:
            raise ValueError("values must name at least one factor, got none.")
        self.values = tuple(check_factor(value) for value in values)

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that can be drawn."""
        return min(self.values), max(self.values)

    def quantile(self, u: float) -> float:
        """Map a uniform number in [0, 1) to a factor."""
        return self.values[int(u * len(self.values))]


class FixedPhi(ChoicePhi):
    """Always the same φ: an ordinary network."""

    def __init__(self, value: float, levels: Optional[int] = None, seed: int = 0) -> None:
        super().__init__([value], levels, seed)


def phi_prior(
    phi: Union[None, float, Sequence[float]], low: float = 0.0, high: float = 0.5, exponent: float = 1.0, seed: int = 0
) -> PhiPrior:
    """Return the prior that a ``phi`` override means: none given, a number, or a list of numbers.

    Args:
        phi: ``None`` for U(low, high), a number to train for that alone, a list to draw from it.
        low: see :class:`UniformPhi`.
        high: see :class:`UniformPhi`.
        exponent: see :class:`UniformPhi`.
        seed: see :class:`PhiPrior`.

    Example:
        >>> type(phi_prior(None)).__name__, type(phi_prior(0.3)).__name__, type(phi_prior([0.1, 0.3])).__name__
        ('UniformPhi', 'FixedPhi', 'ChoicePhi')
    """
    if phi is None:
        return UniformPhi(low, high, exponent, seed=seed)
    if isinstance(phi, Sequence) and not isinstance(phi, str):
        return ChoicePhi(phi, seed=seed)
    return FixedPhi(check_factor(phi), seed=seed)


def validation_phis(val_phi: Union[None, float, Sequence[float]], prior: PhiPrior) -> Sequence[float]:
    """Return the factors of validation and report.

    Args:
        val_phi: one factor or several, or ``None`` for those that the prior draws: all of a list, or six evenly spread
            over a range.
        prior: of the training.

    Example:
        >>> validation_phis(None, UniformPhi(0.0, 0.5)), validation_phis(None, FixedPhi(0.3))
        ((0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.3,))
    """
    if val_phi is not None:
        return tuple(val_phi) if isinstance(val_phi, Sequence) else (val_phi,)
    if isinstance(prior, ChoicePhi):
        return tuple(sorted(set(prior.values)))
    low, high = prior.range
    return (low,) if low == high else tuple(round(low + (high - low) * step / 5, 4) for step in range(6))
