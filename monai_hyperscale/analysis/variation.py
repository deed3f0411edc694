"""How much generated weights change with φ: their coefficient of variation, layer by layer (SSHN appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np
import torch
from matplotlib.figure import Figure

from monai_hyperscale.analysis.figures import BLUE, drawing, tidy
from monai_hyperscale.context import Context
from monai_hyperscale.errors import ConfigError, PhiError
from monai_hyperscale.hypernet import ConstantGenerator, HyperNetwork
from monai_hyperscale.networks.layers.factor import Phi

# What a layer's distribution is described by, in the order of the fields of LayerVariation, and of a box.
_QUANTILES = (0.5, 0.25, 0.75, 0.05, 0.95)
_BOX = ("med", "q1", "q3", "whislo", "whishi")


@dataclass(frozen=True)
class LayerVariation:
    """How much a layer's generated weights, biases among them, change with φ.

    Of as many ``weights`` some are ``undefined``: they have the mean 0 and vary, so that σ/|μ| is infinite. Of the
    others are the median, the quartiles ``low`` and ``high``, and the 5th and 95th percentile, if there are any.
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
    """Return σ/|μ| over φ of every generated weight (SSHN Figure 14), by the parameter's name, in float64 on the CPU.

    σ is that of the population: the φ given, at least two, are all there are. A weight that is 0 at every φ does not
    vary and has 0; one whose mean is 0 while it varies has infinity.

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
    for count, phi in enumerate(phis, 1):
        with torch.no_grad():
            weights = network.generate(**Context.of(phi))
        for name, weight in weights.items():
            value = weight.detach().cpu().double()
            step = value - means.setdefault(name, torch.zeros_like(value))
            means[name] += step / count
            squares.setdefault(name, torch.zeros_like(value)).add_(step * (value - means[name]))
    sigmas = {name: (square / len(phis)).clamp(min=0).sqrt() for name, square in squares.items()}
    return {name: torch.where(sigma == 0, 0.0, sigma / means[name].abs()) for name, sigma in sigmas.items()}


def layers_in_order(network: HyperNetwork, image: torch.Tensor, phi: Union[Context, Phi]) -> list[str]:
    """Return the layers with generated parameters in the order of a forward pass of an image, those not called last.

    The ``image`` (B, C, *sizes), on the network's device, may be small: only the order matters.

    Example:
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> network = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4)))
        >>> layers_in_order(network, torch.zeros(1, 1, 8, 8), 0.5)[-1]
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
    """Return the distribution of :func:`coefficients_of_variation` by layer, in the order of a pass of ``image``."""
    by_layer: dict[str, list[torch.Tensor]] = {}
    for name, values in coefficients_of_variation(network, phis).items():
        by_layer.setdefault(name.rpartition(".")[0], []).append(values.flatten())
    found = []
    for path in layers_in_order(network, image, phis[-1]):
        values = torch.cat(by_layer[path])
        known = values[values.isfinite()].numpy()
        quantiles = np.quantile(known, _QUANTILES).tolist() if len(known) else [None] * len(_QUANTILES)
        found.append(LayerVariation(path, len(values), len(values) - len(known), *quantiles))
    return found


def draw_variation(layers: Sequence[LayerVariation], title: str = "") -> Figure:
    """Draw the distribution in every layer as a box, the first on top: median, quartiles, 5th and 95th percentile."""
    with drawing(5.0, 0.9 + 0.17 * len(layers)) as figure:
        axes = figure.subplots()
        shown = [(place, layer) for place, layer in enumerate(layers) if layer.median is not None]
        ends = [(layer.median, layer.low, layer.high, layer.lowest, layer.highest) for _, layer in shown]
        if shown:
            axes.bxp(
                [dict(zip(_BOX, values, strict=True)) for values in ends],
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
        positive = [value for values in ends for value in values if value]
        if len(positive) == len(_BOX) * len(shown) > 0:
            axes.set_xscale("log")
        elif positive:  # weights that do not vary have no place on a logarithmic axis
            axes.set_xscale("symlog", linthresh=min(positive))
        axes.set_yticks(range(len(layers)), [layer.layer for layer in layers], fontsize=6)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        tidy(axes, "coefficient of variation over φ, σ/|μ|", "", title, grid="x")
    return figure
