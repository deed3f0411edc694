"""Weight generators h: from a context to the weights of a primary network (SSHN sections 3, 4.3 and A.1; SAN).

One interface, :class:`WeightGenerator`; one fused matrix of heads where there are heads; one form, θ = θ₀ + change.
"""

from __future__ import annotations

import inspect
from typing import Any

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet.generators.base import (
    ConstantGenerator,
    HeadsGenerator,
    LinearGenerator,
    WeightGenerator,
)
from monai_hyperscale.hypernet.generators.film import FiLMGenerator
from monai_hyperscale.hypernet.generators.mlp import MLPGenerator
from monai_hyperscale.hypernet.generators.spline import SplineGenerator

__all__ = [
    "GENERATORS",
    "ConstantGenerator",
    "FiLMGenerator",
    "HeadsGenerator",
    "LinearGenerator",
    "MLPGenerator",
    "SplineGenerator",
    "WeightGenerator",
    "build_generator",
]

#: The generators that a configuration can name.
GENERATORS: dict[str, type[WeightGenerator]] = {
    "mlp": MLPGenerator,
    "linear": LinearGenerator,
    "spline": SplineGenerator,
    "film": FiLMGenerator,
    "constant": ConstantGenerator,
}


def build_generator(name: str = "mlp", **options: Any) -> WeightGenerator:
    """Return a generator by name; a :class:`ConfigError` for an unknown name or option, or a value that it refuses.

    Args:
        name: ``mlp``, ``linear``, ``spline``, ``film`` or ``constant``.
        options: the arguments of its class.

    Example:
        >>> build_generator("mlp", hidden=[10, 8]).hidden
        (10, 8)
    """
    if name not in GENERATORS:
        raise ConfigError(f"the generator must be one of {', '.join(GENERATORS)}, got {name!r}.")
    known = list(inspect.signature(GENERATORS[name]).parameters)
    unknown = [option for option in options if option not in known]
    if unknown:
        takes = f"its options are {', '.join(known)}" if known else "it has none"
        raise ConfigError(f"the generator {name!r} has no option {', '.join(map(repr, unknown))}; {takes}.")
    try:
        return GENERATORS[name](**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the generator {name!r} cannot be built from {options}: {error}") from error
