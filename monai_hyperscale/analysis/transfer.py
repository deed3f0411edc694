"""Weights made for one φ in a network that resizes by another (SSHN section 5.2, Figure 9)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from matplotlib.figure import Figure

from monai_hyperscale.analysis.figures import COLOURS, drawing, tidy
from monai_hyperscale.errors import ConfigError, DatasetError
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.search.results import Interval
from monai_hyperscale.search.statistics import case_score, interval
from monai_hyperscale.search.workload import Workload

#: Methods whose weights are the same for every φ.
_CONSTANT = ("fixed", "stochastic")


@dataclass(frozen=True)
class TransferCurve:
    """What one set of weights scores at several φ, over all ``cases`` and on each.

    ``weights_phi`` is the φ that the weights were generated for, or trained for; ``None`` where each φ has its own, or
    the same ones were trained for all. ``plain`` weights were trained as they are, without a generator.
    """

    name: str
    network: str
    weights_phi: Optional[float]
    phis: tuple[float, ...]
    scores: tuple[Interval, ...]
    plain: bool = False
    cases: Mapping[str, Sequence[Optional[float]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the curve ready for JSON."""
        return {**vars(self), "phis": list(self.phis), "scores": [vars(score) for score in self.scores]}


def transferred(workload: Workload, weights_phi: float, phi: float) -> FoldedInference:
    """Return a network with the weights for φ′, ``weights_phi``, whose resize layers go by φ: f_φ(·; h(φ′))."""
    run = workload.run(phi)
    if weights_phi == phi:
        return run
    network = copy.deepcopy(run.network)
    network.load_state_dict(workload.run(weights_phi).network.state_dict())
    return type(run)(network, run.inferer)


def transfer_curve(
    workload: Workload,
    weights_phi: Optional[float],
    phis: Sequence[float],
    bootstrap: int = 2000,
    seed: int = 0,
    progress: Optional[Callable[[], object]] = None,
) -> TransferCurve:
    """Score the weights for ``weights_phi`` at several φ, on every case; a DatasetError if a case cannot be used.

    Args:
        workload: network and cases.
        weights_phi: φ of the weights; ``None`` to generate them anew for each of ``phis``.
        phis: at which the network runs.
        bootstrap: resamplings of the cases for intervals.
        seed: of their draw.
        progress: called after every case.
    """
    cases: dict[str, list[Optional[float]]] = {case: [] for case in workload.names}
    for phi in phis:
        run = transferred(workload, phi if weights_phi is None else weights_phi, phi)
        for index, case in enumerate(workload.names):
            cases[case].append(case_score(workload.measure(index, run).scores.values()))
            if progress is not None:
                progress()
    name = "weights for each φ" if weights_phi is None else f"weights for φ = {weights_phi:g}"
    scores = tuple(interval(column, bootstrap, seed) for column in zip(*cases.values(), strict=True))
    return TransferCurve(name, workload.bundle.resolve().name, weights_phi, tuple(phis), scores, cases=cases)


def fixed_curve(workload: Workload, like: Workload, phis: Sequence[float], **options: Any) -> TransferCurve:
    """Score a network that was trained for one φ (T-Fixed), or with one set of weights for many, at several φ.

    It is compared with another, ``like``; ``options`` are ``bootstrap``, ``seed`` and ``progress`` of
    :func:`transfer_curve`.

    Raises:
        ConfigError: if the network generates its weights, or is for another task.
        DatasetError: if its cases are not those of the other network, or one cannot be used.
    """
    settings, bundle = workload.settings, workload.bundle.resolve().name
    if settings.task != like.settings.task:
        raise ConfigError(f"{bundle} is a network for {settings.task}, the other for {like.settings.task}.")
    if settings.method not in _CONSTANT:
        raise ConfigError(
            f"{bundle} was trained as {settings.method} and generates its weights; a network to compare with has the "
            "same for every phi, of method fixed or stochastic."
        )
    if (workload.names, workload.fingerprint) != (like.names, like.fingerprint):
        raise DatasetError(
            f"{bundle} has other {workload.part} cases of {workload.title} than {like.bundle.resolve().name}: they "
            "were trained on other splits; compare networks of the same split."
        )
    low, high = settings.phi_range
    trained = low if low == high else None
    name = f"{bundle}, {settings.method}" if trained is None else f"{bundle}, trained at φ = {trained:g}"
    # The weights of such a network are the same in the fold for every φ.
    return replace(transfer_curve(workload, None, phis, **options), name=name, weights_phi=trained, plain=True)


def draw_transfer(curves: Sequence[TransferCurve], metric: str) -> Figure:
    """Draw the score against φ for every set of weights, with 95 % intervals; the φ of the weights is marked."""
    with drawing(4.5, 3.0) as figure:
        axes = figure.subplots()
        colours = itertools.cycle(COLOURS)
        for curve in curves:
            own = curve.weights_phi is None and not curve.plain
            colour = "black" if own else next(colours)
            known = [(phi, s) for phi, s in zip(curve.phis, curve.scores, strict=True) if s.mean is not None]
            x: list[Any] = [phi for phi, _ in known]
            means, lows, highs = ([getattr(score, end) for _, score in known] for end in ("mean", "low", "high"))
            style = "--" if own or curve.plain else "-"
            axes.plot(x, means, style, color=colour, linewidth=1.0, marker=".", markersize=3, label=curve.name)
            if not own:
                axes.fill_between(x, lows, highs, color=colour, alpha=0.12, linewidth=0)
            if curve.weights_phi is not None and curve.weights_phi in x:
                axes.plot(curve.weights_phi, means[x.index(curve.weights_phi)], "o", color=colour, markersize=5)
        tidy(axes, "rescaling factor φ of the network", metric, grid="both")
        axes.legend()
    return figure
