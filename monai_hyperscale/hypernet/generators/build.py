"""Generators by name, from plain data such as a configuration file."""

from __future__ import annotations

import inspect
from typing import Any

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet.generators.base import WeightGenerator
from monai_hyperscale.hypernet.generators.constant import ConstantGenerator
from monai_hyperscale.hypernet.generators.film import FiLMGenerator
from monai_hyperscale.hypernet.generators.linear import LinearGenerator
from monai_hyperscale.hypernet.generators.mlp import MLPGenerator
from monai_hyperscale.hypernet.generators.spline import SplineGenerator

__all__ = ["GENERATORS", "build_generator"]

#: The generators that a configuration can name.
GENERATORS: dict[str, type[WeightGenerator]] = {
    "mlp": MLPGenerator,
    "linear": LinearGenerator,
    "spline": SplineGenerator,
    "film": FiLMGenerator,
    "constant": ConstantGenerator,
}


def build_generator(name: str = "mlp", **options: Any) -> WeightGenerator:
    """Return a generator by name.

    Args:
        name: ``mlp``, ``linear``, ``spline``, ``film`` or ``constant``.
        options: the arguments of its class.

    Raises:
        ConfigError: for an unknown name or option, or a value that the generator refuses.

    Example:
        >>> build_generator("spline", anchors=[0, 0.2, 0.5], basis="cubic").basis
        'cubic'
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
