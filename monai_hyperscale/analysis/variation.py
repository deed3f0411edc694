"""How much generated weights change with φ: their coefficient of variation, layer by layer (SSHN appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
from matplotlib.figure import Figure

from monai_hyperscale.analysis.figures import BLUE, drawing, new_figure, tidy
from monai_hyperscale.context import Context
from monai_hyperscale.errors import ConfigError, PhiError
from monai_hyperscale.hypernet import ConstantGenerator, HyperNetwork
from monai_hyperscale.networks.layers.factor import Phi

__all__ = ["LayerVariation", "coefficients_of_variation", "draw_variation", "layers_in_order", "weight_variation"]

# What a layer's distribution is told by, and the fields of LayerVariation that hold it.
_QUANTILES = {"lowest": 0.05, "low": 0.25, "median": 0.5, "high": 0.75, "highest": 0.95}


@dataclass(frozen=True)
class LayerVariation:
    """How much a layer's generated weights change with φ.

    Attributes:
        layer: its name in the primary network.
        weights: how many of its weights, biases among them, are generated.
        undefined: how many of them have the mean 0 and vary, so that σ/|μ| is infinite; they are counted here and are
            not part of the quantiles.
        median: of the coefficient of variation over the weights; ``None`` where every one is undefined.
        low: lower quartile.
        high: upper quartile.
        lowest: 5th percentile.
        highest: 95th percentile.
    """

    layer: str
    weights: int
    undefined: int
    median: Optional[float]
    low: Optional[float]
    high: Optional[float]
    lowest: Optional[float]
    highest: Optional[float]


def coefficients_of_variation(network: HyperNetwork, phis: Sequence[Union[Context, Phi]]) -> dict[str, torch.Tensor]:
    """Return σ/|μ| over φ of every generated weight (SSHN Figure 14).

    σ is that of the population: the φ given are all there are. A weight that is 0 at every φ does not vary and has 0;
    one whose mean is 0 while it varies has infinity.

    Args:
        network: with trained weights.
        phis: at least two, each one number, one per level, or a whole context.

    Returns:
        for every generated parameter, by its name in the primary network, a tensor of its shape, float64, on the CPU.

    Raises:
        ConfigError: if the network generates no weights, as ``fixed`` and ``stochastic`` do.
        PhiError: if there are fewer than two φ.

    Example:
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> network = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4)))
        >>> found = coefficients_of_variation(network, [0.0, 0.25, 0.5])
        >>> list(found) == list(network.generated), found[network.generated[0]].shape
        (True, torch.Size([4, 1, 3, 3]))
    """
    if isinstance(network.generator, ConstantGenerator):
        raise ConfigError(
            "this network has the same weights for every phi (method fixed or stochastic), so nothing varies; name a "
            "network that generates them, of method sshn or film."
        )
    if len(phis) < 2:
        raise PhiError(f"at least two phi are needed to see how weights vary, got {len(phis)}.")
    # Welford's update: the weights of all φ at once would be as many networks in memory.
    means: dict[str, torch.Tensor] = {}
    squares: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for count, phi in enumerate(phis, 1):
            for name, value in network.generate(**Context.of(phi)).items():
                value = value.detach().cpu().double()
                if count == 1:
                    means[name], squares[name] = value.clone(), torch.zeros_like(value)
                    continue
                step = value - means[name]
                means[name] += step / count
                squares[name] += step * (value - means[name])
    found = {}
    for name, mean in means.items():
        sigma = (squares[name] / len(phis)).clamp(min=0).sqrt()
        found[name] = torch.where(sigma == 0, 0.0, sigma / mean.abs())
    return found


def layers_in_order(network: HyperNetwork, image: torch.Tensor, phi: Union[Context, Phi]) -> list[str]:
    """Return the layers with generated parameters in the order in which a forward pass comes to them.

    Args:
        network: any hypernetwork.
        image: (B, C, *sizes), on the network's device; small, only the order matters.
        phi: one number, one per level, or a whole context.

    Returns:
        the layers' names in the primary network; those that the pass does not call come last.

    Example:
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> network = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4)))
        >>> layers = layers_in_order(network, torch.zeros(1, 1, 8, 8), 0.5)
        >>> layers[-1]
        'body.final'
    """
    paths = list(dict.fromkeys(name.rpartition(".")[0] for name in network.generated))
    called: dict[str, None] = {}

    def note(path: str) -> Any:
        return lambda *_: called.setdefault(path)

    hooks = [network.primary.get_submodule(path).register_forward_pre_hook(note(path)) for path in paths]
    try:
        with torch.no_grad():
            network(image, **Context.of(phi))
    finally:
        for hook in hooks:
            hook.remove()
    return [*called, *(path for path in paths if path not in called)]


def weight_variation(
    network: HyperNetwork, phis: Sequence[Union[Context, Phi]], image: torch.Tensor
) -> list[LayerVariation]:
    """Return the distribution of :func:`coefficients_of_variation` in every layer, in forward order.

    Args:
        network: with trained weights.
        phis: at least two, each one number, one per level, or a whole context.
        image: see :func:`layers_in_order`.

    Raises:
        ConfigError: if the network generates no weights.
        PhiError: if there are fewer than two φ.
    """
    found = coefficients_of_variation(network, phis)
    by_layer: dict[str, list[torch.Tensor]] = {}
    for name, values in found.items():
        by_layer.setdefault(name.rpartition(".")[0], []).append(values.flatten())
    return [_layer(path, torch.cat(by_layer[path])) for path in layers_in_order(network, image, phis[-1])]


def _layer(path: str, values: torch.Tensor) -> LayerVariation:
    known = values[values.isfinite()]
    quantiles: dict[str, Optional[float]] = dict.fromkeys(_QUANTILES)
    if len(known):
        # Not torch.quantile, which refuses more than 2^24 values.
        ordered = known.sort().values
        quantiles = {name: _quantile(ordered, share) for name, share in _QUANTILES.items()}
    return LayerVariation(path, len(values), len(values) - len(known), **quantiles)


def _quantile(ordered: torch.Tensor, share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(torch.lerp(ordered[below], ordered[above], place - below))


def draw_variation(layers: Sequence[LayerVariation], title: str = "") -> Figure:
    """Draw the distribution in every layer as a box: median, quartiles, 5th and 95th percentile.

    Args:
        layers: from :func:`weight_variation`; the first is on top.
        title: over the figure.
    """
    with drawing():
        figure = new_figure(5.0, 0.9 + 0.17 * len(layers))
        axes = figure.subplots()
        shown = [(place, layer) for place, layer in enumerate(layers) if layer.median is not None]
        boxes = [
            {"med": layer.median, "q1": layer.low, "q3": layer.high, "whislo": layer.lowest, "whishi": layer.highest}
            for _, layer in shown
        ]
        if boxes:
            axes.bxp(
                boxes,
                positions=[place for place, _ in shown],
                orientation="horizontal",
                showfliers=False,
                widths=0.6,
                patch_artist=True,
                boxprops={"facecolor": BLUE, "alpha": 0.35, "linewidth": 0.5},
                medianprops={"color": "black", "linewidth": 1.0},
                whiskerprops={"linewidth": 0.5},
                capprops={"linewidth": 0.5},
            )
            _scale(axes, boxes)
        axes.set_yticks(range(len(layers)), [layer.layer for layer in layers], fontsize=6)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        tidy(axes, "coefficient of variation over φ, σ/|μ|", "", title or None)
        axes.grid(axis="x", alpha=0.3, linewidth=0.5)
        return figure


def _scale(axes: Any, boxes: Sequence[dict[str, Optional[float]]]) -> None:
    positive = [value for box in boxes for value in box.values() if value]
    if not positive:
        return
    # Weights that do not vary have no place on a logarithmic axis.
    if len(positive) == sum(len(box) for box in boxes):
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=min(positive))
