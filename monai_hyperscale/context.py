"""The context of a network: the named numbers that its weights are generated from, φ first of all."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Optional, Union

from monai_hyperscale.errors import PhiError

#: What a number of a context is: one value, or several, one per level.
Value = Union[float, tuple[float, ...]]


@dataclass(frozen=True)
class ContextNumber:
    """What one number of a context is called, and which values it takes; generators see them as they are.

    ``count`` is how many values it has, all of them the same where one is given; ``None`` for as many as the network
    has levels. ``first`` is how many times the others the first is where one stands for all: 2 for the factor of a
    rescaled input, which keeps its full resolution at ordinary halving. ``low`` and ``high`` are the least and greatest
    value seen in training, ``limits`` those that make sense.

    Example:
        >>> phi = ContextNumber("phi", high=0.5, count=3, first=2)
        >>> phi.spread(0.3), phi.trained(0.6), phi.trained((0.9, 0.3, 0.2))
        ((0.6, 0.3, 0.3), False, True)
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    count: Optional[int] = 1
    first: float = 1.0
    limits: tuple[float, float] = (0.0, 1.0)
    default: Optional[Value] = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"the name of a number must be one that a call can use, got {self.name!r}.")
        if self.count is not None and self.count < 1:
            raise ValueError(f"{self.name} has at least one value, got a count of {self.count}.")
        if not self.limits[0] <= self.low <= self.high <= self.limits[1]:
            within = "{:g} and {:g}".format(*self.limits)
            raise ValueError(f"{self.name} goes from low to high within {within}, got {self.low} and {self.high}.")
        if self.default is not None:
            self.values(self.default)

    def values(self, given: object) -> tuple[float, ...]:
        """Return a number or a sequence of them (a tensor, an array), checked: one, or as many as there are."""
        given = _plain(given)
        if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
            return (self._value(given),)
        if not given:
            raise PhiError(f"{self.name} must be one number or one per level, got an empty sequence.")
        values = tuple(self._value(value) for value in given)
        if self.count is not None and len(values) not in (1, self.count):
            wanted = "one number for all levels" if self.count == 1 else f"one number or {self.count}, one per level"
            raise PhiError(f"{self.name} must be {wanted}; got {len(values)}.")
        return values

    def _value(self, given: object) -> float:
        given = _plain(given)
        least, most = self.limits
        finite = math.isfinite(least) and math.isfinite(most)
        wanted = f"a number between {least:g} and {most:g}" if finite else "a finite number"
        if isinstance(given, bool) or not isinstance(given, Real):
            raise PhiError(f"{self.name} must be {wanted}, got {given!r} ({type(given).__name__}).")
        value = float(given)
        if not math.isfinite(value) or not least <= value <= most:
            raise PhiError(f"{self.name} must be {wanted}, got {value!r}.")
        return value

    def spread(self, given: object) -> tuple[float, ...]:
        """Return as many values as there are, all of them the one that may stand alone."""
        values = self.values(given)
        if len(values) > 1 or self.count in (None, 1):
            return values
        return (min(self.limits[1], self.first * values[0]), *values * (self.count - 1))

    def trained(self, given: object) -> bool:
        """Return whether values lie in the range seen in training."""
        values = self.values(given)
        times = (self.first if len(values) > 1 else 1.0, *[1.0] * (len(values) - 1))
        return all(self.low * n <= value <= self.high * n for n, value in zip(times, values, strict=True))


class Context(Mapping[str, Value]):
    """One value, or one per level, for every number that a network takes; unchanging, so a key of caches.

    Example:
        >>> print(Context(phi=(0.5, 0.25), regularization=[0.4]))
        phi 0.5,0.25, regularization 0.4
    """

    def __init__(self, **numbers: Any) -> None:
        read = {name: ContextNumber(name, 0.0, 0.0, None, limits=_ANY).values(value) for name, value in numbers.items()}
        self._numbers: dict[str, Value] = {name: v[0] if len(v) == 1 else v for name, v in read.items()}

    def __getitem__(self, name: str) -> Value:
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __hash__(self) -> int:
        return hash(frozenset(self._numbers.items()))

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.text(name)}" for name in self)

    def __repr__(self) -> str:
        return f"Context({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    @classmethod
    def of(cls, given: Any) -> Context:
        """Return a context as it is, and φ alone, one or one per level, as the context that names nothing else."""
        return given if isinstance(given, Context) else cls(phi=ContextNumber("phi", count=None).values(given))

    def several(self, name: str) -> tuple[float, ...]:
        """Return the values of a number, one or more; none if the context does not name it."""
        value = self._numbers.get(name, ())
        return value if isinstance(value, tuple) else (value,)

    def text(self, name: str) -> str:
        """Return the values of a number as the command line takes them."""
        return ",".join(f"{value:g}" for value in self.several(name))


_ANY = (-math.inf, math.inf)


def _plain(given: Any) -> Any:
    # Tensors and NumPy's arrays and numbers, without importing either.
    return given.tolist() if hasattr(type(given), "tolist") else given


@dataclass(frozen=True, init=False)
class ContextSpec:
    """The numbers that a network takes. Called with values by name, it returns them checked, as a :class:`Context`.

    Example:
        >>> spec = ContextSpec(ContextNumber("phi", high=0.5), ContextNumber("regularization", default=0.5))
        >>> spec(phi=0.3), spec.width, spec.flat(spec(phi=0.3, regularization=0.9))
        (Context(phi=0.3, regularization=0.5), 2, (0.3, 0.9))
    """

    numbers: tuple[ContextNumber, ...]

    def __init__(self, *numbers: ContextNumber) -> None:
        names = [number.name for number in numbers]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a context needs numbers of different names, got {', '.join(names) or 'none'}.")
        object.__setattr__(self, "numbers", tuple(numbers))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers."""
        return tuple(number.name for number in self.numbers)

    @property
    def width(self) -> int:
        """How many values a generator sees."""
        return sum(number.count or 1 for number in self.numbers)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[ContextNumber]:
        return iter(self.numbers)

    def __getitem__(self, name: str) -> ContextNumber:
        for number in self.numbers:
            if number.name == name:
                return number
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"did you mean {near[0]}?" if near else "leave it out."
        raise PhiError(f"the network takes {' and '.join(self.names)}, not {name}; {hint}")

    def __call__(self, **given: Any) -> Context:
        """Return one value of every number, checked; what is ``None`` has its default."""
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            self[name]
        values = {}
        for number in self.numbers:
            value = given.get(number.name, number.default)
            if value is None:
                raise PhiError(f"call the network with {number.name}=..., or fold({number.name}) it first.")
            values[number.name] = number.values(value)
        return Context(**values)

    def flat(self, context: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the values of all numbers as a generator sees them, ``width`` of them."""
        return tuple(value for number in self.numbers for value in number.spread(context[number.name]))

    def trained(self, context: Mapping[str, Any]) -> bool:
        """Return whether every number of a context lies in its range seen in training."""
        return all(number.trained(context[number.name]) for number in self.numbers)

    def with_defaults(self, **defaults: Any) -> ContextSpec:
        """Return the same numbers with other defaults; what is ``None`` stays as it is."""
        found = Context(**{name: self[name].values(value) for name, value in defaults.items() if value is not None})
        return ContextSpec(*(replace(each, default=found.get(each.name, each.default)) for each in self.numbers))
