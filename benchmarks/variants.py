"""Changes of SSHN that were tried to close the gap between one network and many."""

from __future__ import annotations

from typing import Any

from benchmarks.wbc import Recipe

__all__ = ["BEST", "VARIANTS"]

_RANK_16 = {"name": "mlp", "hidden": (10, 16), "head_scale": 1.0}
_MEASURED = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_ON_FIXED = {"name": "mlp", "hidden": (10, 16), "head_scale": 0.0, "reference": 0.5}
_SILU = {**_ON_FIXED, "hidden": (32, 32), "activation": "swish"}
_SPLINE = {"name": "spline", "anchors": (0.0, 0.1, 0.25, 0.5), "head_scale": 0.0, "reference": 0.5}
_FROM_005 = {**_SPLINE, "anchors": (0.05, 0.1, 0.25, 0.5)}
_JOINT_SPLINE = {"name": "spline", "anchors": (0.05, 0.1, 0.25, 0.5), "head_scale": 0.0}
# The best of 1e-3, 3e-3 and 1e-2 for hypernetworks: what depends on φ multiplies the steps that the weights take.
_RATE = 3e-3


def _joint(**changes: Any) -> Recipe:
    return Recipe(**{"generator": _RANK_16, "learning_rate": _RATE, **changes})


def _on_fixed(**changes: Any) -> Recipe:
    # A Fixed network at φ = 0.5 first; then half as many steps for what differs from it at other φ.
    given = {"step_factor": 1.5, "fixed_share": 2 / 3, "two_stages": True, "base_rate": 0.0, "head_rate": 0.3}
    return Recipe(**{"generator": _ON_FIXED, "select": "convolutions+norms", **given, **changes})


def _joint_spline(**changes: Any) -> Recipe:
    # What every φ shares learns as fast as a network by itself, what differs more slowly.
    given = {"learning_rate": 1e-2, "head_rate": 0.3, "step_factor": 1.5, "select": "convolutions+norms"}
    return Recipe(**{"generator": _JOINT_SPLINE, **given, **changes})


def _generator(**changes: Any) -> Recipe:
    return _joint(generator={**_RANK_16, **changes})


VARIANTS: dict[str, Recipe] = {
    "fixed 0.5": Recipe(method="fixed", phi=0.5),
    "fixed 0.5, rate 3e-3": Recipe(method="fixed", phi=0.5, learning_rate=3e-3),
    "fixed 0.1": Recipe(method="fixed", phi=0.1),
    "fixed 0.5, in 8 parts": Recipe(method="fixed", phi=0.5, phis_per_step=8),
    "fixed 0.1, in 8 parts": Recipe(method="fixed", phi=0.1, phis_per_step=8),
    "stochastic": Recipe(method="stochastic"),
    "stochastic, rate 3e-3": Recipe(method="stochastic", learning_rate=3e-3),
    "stochastic, 1.5 x steps": Recipe(method="stochastic", step_factor=1.5),
    "stochastic, 1.5 x steps, 8 phi per step": Recipe(method="stochastic", step_factor=1.5, phis_per_step=8),
    "stochastic in 0.45 to 0.5": Recipe(method="stochastic", low=0.45, learning_rate=3e-3),
    "stochastic in 0.05, 0.1 to 0.5": Recipe(method="stochastic", choices=_MEASURED, learning_rate=3e-3),
    "stochastic in 0.25 and 0.5": Recipe(method="stochastic", choices=(0.25, 0.5), learning_rate=3e-3),
    "film": Recipe(method="film"),
    "film, rate 3e-3": Recipe(method="film", learning_rate=3e-3),
    "joint": _joint(),
    "joint, rate 1e-2": _joint(learning_rate=1e-2),
    "joint, 1.5 x steps": _joint(step_factor=1.5),
    "joint in 0.05, 0.1 to 0.5": _joint(choices=_MEASURED),
    "joint, 4 phi per step": _joint(phis_per_step=4),
    "joint spline, 1.5 x steps": _joint_spline(),
    "joint spline, 1.5 x steps, 8 phi per step": _joint_spline(phis_per_step=8),
    "joint spline, 1.5 x steps, 8 phi per step, small phi from 0.04": _joint_spline(
        phis_per_step=8, low=0.04, exponent=0.7
    ),
    "joint, norms generated": _joint(select="convolutions+norms"),
    "joint, prior towards 0.5": _joint(exponent=2.0),
    "joint, half at 0.5 first": _joint(fixed_share=0.5),
    "joint, heads x 3": _generator(head_scale=3.0),
    "joint, dense (10, 100)": _generator(hidden=(10, 100)),
    "joint, rank 8": _generator(hidden=(10, 8)),
    "joint, silu (32, 32)": _generator(hidden=(32, 32), activation="swish"),
    "on fixed at 3e-3": _on_fixed(learning_rate=_RATE, head_rate=1.0),
    "on fixed at 3e-3, silu (32, 32)": _on_fixed(generator=_SILU, learning_rate=_RATE, head_rate=1.0),
    "on fixed at 3e-3, silu, heads at 1e-2": _on_fixed(generator=_SILU, learning_rate=_RATE, head_rate=3.0),
    "on fixed at 3e-3, silu, base learns": _on_fixed(
        generator=_SILU, learning_rate=_RATE, head_rate=1.0, base_rate=0.1
    ),
    "on fixed, small phi": _on_fixed(exponent=0.6),
    "on fixed, small phi, base learns": _on_fixed(exponent=0.6, base_rate=0.03),
    "on fixed, small phi, spline": _on_fixed(generator=_SPLINE, exponent=0.6),
    "on fixed, small phi, spline, 4 phi per step": _on_fixed(generator=_SPLINE, exponent=0.6, phis_per_step=4),
    "on fixed, small phi, spline, 8 phi per step": _on_fixed(generator=_SPLINE, exponent=0.6, phis_per_step=8),
    "on fixed, small phi, spline, 16 phi per step": _on_fixed(generator=_SPLINE, exponent=0.6, phis_per_step=16),
    "on fixed, phi from 0.04, spline, 8 phi per step": _on_fixed(
        generator=_FROM_005, low=0.04, exponent=0.6, phis_per_step=8
    ),
    "on fixed, smaller phi from 0.04, spline, 8 phi per step": _on_fixed(
        generator=_FROM_005, low=0.04, exponent=0.4, phis_per_step=8
    ),
    "on fixed, smaller phi from 0.04, spline, 8 phi per step, half of the steps": _on_fixed(
        generator=_FROM_005, low=0.04, exponent=0.4, phis_per_step=8, fixed_share=0.5
    ),
    "on fixed, smaller phi, spline": _on_fixed(generator=_SPLINE, exponent=0.4),
    "on fixed, small phi, spline, heads at 1e-2": _on_fixed(generator=_SPLINE, exponent=0.6, head_rate=1.0),
    "on fixed, small phi, spline, heads at 1e-3": _on_fixed(generator=_SPLINE, exponent=0.6, head_rate=0.1),
    "on fixed, small phi, (10, 64)": _on_fixed(generator={**_ON_FIXED, "hidden": (10, 64)}, exponent=0.6),
    "on fixed, smaller phi": _on_fixed(exponent=0.4),
    "on fixed, half of the steps": _on_fixed(exponent=0.6, base_rate=0.03, fixed_share=0.5),
    "fixed 0.5, no norm": Recipe(method="fixed", phi=0.5, norm=None, learning_rate=3e-3),
    "stochastic, no norm": Recipe(method="stochastic", norm=None, learning_rate=3e-3),
    "joint, no norm": _joint(norm=None),
    "joint, no norm, the paper's generator": _joint(generator={"hidden": (10, 100), "init": "paper"}, norm=None),
}

BEST = VARIANTS["joint spline, 1.5 x steps, 8 phi per step, small phi from 0.04"]
