"""The methods a bundle trains with: SSHN and the baselines that share all but the conditioning (SSHN section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from monai_hyperscale.errors import ConfigError

__all__ = ["FIXED_PHI", "METHODS", "may_keep_phi", "method_generator"]

METHODS = ("sshn", "fixed", "stochastic", "film")

#: The φ that ``fixed`` trains for unless told otherwise: ordinary halving.
FIXED_PHI = 0.5


def method_generator(
    method: str,
    generator: Optional[Mapping[str, Any]] = None,
    film: Optional[Mapping[str, Any]] = None,
    keep_phi: Optional[float] = None,
) -> dict[str, Any]:
    """Return the settings of the generator that a method trains with.

    ``sshn`` generates weights from φ. ``stochastic`` draws φ alike, but its weights do not know of it; ``fixed`` is
    one ordinary network for one φ. ``film`` scales and shifts channels by φ.

    Args:
        method: one of ``sshn``, ``fixed``, ``stochastic`` and ``film``.
        generator: name and arguments of the weight generator of ``sshn``.
        film: arguments of the generator of ``film``.
        keep_phi: φ at which the network that the training starts from is to stay as it is, of ``sshn``.

    Raises:
        ConfigError: for another method, or ``keep_phi`` where it cannot be.

    Example:
        >>> method_generator("sshn", {"hidden": (10, 8)})
        {'name': 'mlp', 'hidden': (10, 8)}
        >>> method_generator("stochastic", {"hidden": (10, 8)})
        {'name': 'constant'}
    """
    if keep_phi is not None:
        if not may_keep_phi(method, generator):
            raise ConfigError(
                "keep_phi needs method sshn and the generator mlp, linear or spline in its residual form; leave it out."
            )
        # Heads of zero: every φ starts with the weights that are kept.
        return {"name": "mlp", **(generator or {}), "reference": keep_phi, "head_scale": 0.0}
    if method == "sshn":
        return {"name": "mlp", **(generator or {})}
    if method == "film":
        return {"name": "film", **(film or {})}
    if method in METHODS:
        return {"name": "constant"}
    raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")


def may_keep_phi(method: str, generator: Optional[Mapping[str, Any]] = None) -> bool:
    """Return whether the weights at one φ can stay as they are while those at others are trained.

    Args:
        method: see :func:`method_generator`.
        generator: see :func:`method_generator`.

    Example:
        >>> may_keep_phi("sshn", {"name": "spline"}), may_keep_phi("film")
        (True, False)
    """
    generator = generator or {}
    if method != "sshn" or generator.get("init", "residual") != "residual":
        return False
    return generator.get("name", "mlp") not in ("film", "constant")
