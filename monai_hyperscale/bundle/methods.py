"""The methods a bundle trains with: SSHN and the baselines that share all but the conditioning (SSHN section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

from monai_hyperscale.errors import ConfigError

METHODS = ("sshn", "fixed", "stochastic", "film")

#: A method's name, or a dictionary of its ``name`` and the arguments of its generator.
Method = Union[str, Mapping[str, Any]]

#: The φ that ``fixed`` trains for unless told otherwise: ordinary halving.
FIXED_PHI = 0.5


def method_name(method: Method) -> str:
    """Return the name of a method; a :class:`ConfigError` if it is none of :data:`METHODS`.

    Example:
        >>> method_name({"name": "film", "hidden": (10, 8)})
        'film'
    """
    name = method.get("name", "sshn") if isinstance(method, Mapping) else method
    if name not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {name!r}.")
    return str(name)


def method_generator(method: Method, keep_phi: Optional[float] = None) -> dict[str, Any]:
    """Return the settings of the generator that a method trains with.

    ``sshn`` generates weights from φ. ``stochastic`` draws φ alike, but its weights do not know of it; ``fixed`` is one
    ordinary network for one φ. ``film`` scales and shifts channels by φ.

    Args:
        method: its name, or a dictionary of ``name``, the generator's arguments, and with ``sshn`` the ``generator``:
            ``mlp``, ``linear`` or ``spline``.
        keep_phi: φ at which the network that the training starts from is to stay as it is, of ``sshn``. Where it
            cannot be, and for another method, a :class:`ConfigError`.

    Example:
        >>> method_generator({"name": "sshn", "hidden": (10, 8)})
        {'name': 'mlp', 'hidden': (10, 8)}
    """
    name = method_name(method)
    options = {k: v for k, v in method.items() if k != "name"} if isinstance(method, Mapping) else {}
    if name != "sshn":
        generator = {"name": "film" if name == "film" else "constant", **options}
    else:
        generator = {"name": options.pop("generator", "mlp"), **options}
        if generator["name"] in ("constant", "film"):
            raise ConfigError(f"the generator of sshn is mlp, linear or spline, got {generator['name']!r}.")
    if keep_phi is None:
        return generator
    if name != "sshn" or generator.get("init", "residual") != "residual":
        raise ConfigError(
            "keep_phi needs method sshn and the generator mlp, linear or spline in its residual form; leave it out."
        )
    # Heads of zero: every φ starts with the weights that are kept.
    return {**generator, "reference": keep_phi, "head_scale": 0.0}
