"""What a training ends with: a table of Dice per φ, and a picture of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union

import ignite.distributed as idist
import numpy as np
import torch
from matplotlib.figure import Figure
from monai.engines import Evaluator

from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import PhiInferer, PhiWholeImageInferer
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cost import count_flops
from monai_hyperscale.training.tables import rounded, write_tables
from monai_hyperscale.training.validation import PhiDice, PhiResult, dice_of, evaluate_phis

__all__ = ["dice_report"]

# The example is shown at this many φ.
_SHOWN = 5

Result = TypeVar("Result", bound=PhiResult)


def dice_report(
    network: HyperNetwork,
    evaluator: Evaluator,
    inferer: PhiWholeImageInferer,
    phis: Sequence[Phi],
    labels: Mapping[int, str],
    folder: Union[str, Path],
    title: str,
    example: Mapping[str, Any],
    method: str = "sshn",
) -> list[PhiDice]:
    """Evaluate a trained network at several φ; print the table, and write it as JSON, CSV and a picture.

    Args:
        network: the hypernetwork, with the weights to report.
        evaluator: over cases that no weight or choice depended on.
        inferer: its inferer.
        phis: the factors, each a number or one number per level.
        labels: names of the label values.
        folder: where ``dice_per_phi.json``, ``.csv`` and ``.png`` go.
        title: what was evaluated, for the picture.
        example: a preprocessed case ``{"image": (C, *sizes), "label": (1, *sizes)}`` for FLOPs and for the picture.
        method: what the network was trained as, for the JSON file and the picture.

    Returns:
        the Dice of every φ.
    """
    folder = Path(folder)
    results = evaluate_phis(evaluator, inferer, phis, dice_of)
    if idist.get_rank() > 0:
        return results
    names = [labels.get(value, f"label {value}") for value in range(1, results[0].scores.shape[1] + 1)]
    images = batch_of(example["image"], network)
    flops = [gigaflops(network, images, inferer, result.phi) for result in results]
    rows = [
        {
            "phi": result.phi,
            "dice": round(result.mean, 4),
            **{name: round(dice, 4) for name, dice in zip(names, result.per_label, strict=True)},
            "gflops": rounded(cost),
        }
        for result, cost in zip(results, flops, strict=True)
    ]
    title = title if method == "sshn" else f"{title}, {method}"
    cases = results[0].scores.shape[0]
    heading = f"{title}: Dice per phi, {cases} cases"
    facts = {"title": title, "method": method, "cases": cases, "labels": names}
    write_tables(folder / "dice_per_phi", rows, heading, facts)
    with replacing(folder / "dice_per_phi.png") as temporary:
        _picture(network, inferer, results, names, flops, title, example).savefig(temporary, dpi=120)
    logging.getLogger(__name__).info(f"Wrote {folder / 'dice_per_phi.png'}, .csv and .json.")
    return results


def gigaflops(network: HyperNetwork, images: torch.Tensor, inferer: PhiInferer, phi: Phi) -> float:
    """Return the cost of one batch at φ in 10⁹ operations, see :func:`count_flops`."""
    return count_flops(FoldedRun(network, inferer, phi), images) / 1e9


class FoldedRun(torch.nn.Module):
    """A folded network as it is run over a whole image: in one piece, in windows, or slice by slice."""

    def __init__(self, network: HyperNetwork, inferer: PhiInferer, phi: Phi) -> None:
        super().__init__()
        self.plain = network.fold(phi)
        self.inferer = inferer

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image (B, C, *sizes) to what the network returns for it."""
        return self.inferer(image, lambda window, phi: self.plain(window))


def batch_of(image: Any, network: HyperNetwork) -> torch.Tensor:
    """Return one image (C, *sizes) as a batch on the network's device."""
    return torch.as_tensor(image)[None].to(next(network.parameters()).device)


def curve_axes(results: Sequence[PhiResult], by_phi: Any, by_cost: Any, quantity: str) -> list[Any]:
    """Label one plot over φ and one over cost; return the places of the results along φ.

    Factors of several levels have no order: each gets a place of its own.
    """
    several = any(isinstance(result.phi, tuple) for result in results)
    by_phi.set(xlabel="rescaling factor φ" + several * ", per level", ylabel=quantity)
    by_cost.set(xlabel="GFLOPs of the example (labels: φ)", ylabel=quantity)
    if several:
        by_phi.tick_params(axis="x", rotation=30)
    for axis in (by_phi, by_cost):
        axis.margins(0.08)
        axis.grid(alpha=0.3)
    return [result.name if several else result.phi for result in results]


def shown(results: Sequence[Result]) -> list[Result]:
    """Return the few φ at which a picture shows the example."""
    return [results[i] for i in np.unique(np.linspace(0, len(results) - 1, _SHOWN).round().astype(int))]


def _picture(
    network: HyperNetwork,
    inferer: PhiInferer,
    results: Sequence[PhiDice],
    names: Sequence[str],
    flops: Sequence[float],
    title: str,
    example: Mapping[str, Any],
) -> Figure:
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    curves, row = parts
    by_phi, by_cost = curves.subplots(1, 2)
    means = [result.mean for result in results]
    phis = curve_axes(results, by_phi, by_cost, "mean Dice")
    for index, name in enumerate(names):
        by_phi.plot(phis, [result.per_label[index] for result in results], lw=1, alpha=0.6, label=name)
    by_phi.plot(phis, means, "ko-", lw=2, label="mean")
    by_phi.legend(fontsize="small")
    by_cost.plot(flops, means, "ko-", lw=2)
    for result, cost, mean in zip(results, flops, means, strict=True):
        by_cost.annotate(result.name, (cost, mean), textcoords="offset points", xytext=(4, -12), fontsize=8)
    _example_row(row, network, inferer, results, example)
    return figure


def _example_row(
    figure: Any, network: HyperNetwork, inferer: PhiInferer, results: Sequence[PhiDice], example: Mapping[str, Any]
) -> None:
    image, label = torch.as_tensor(example["image"]), torch.as_tensor(example["label"])[0].cpu()
    segmentations = {"reference": label.numpy()}
    with torch.no_grad():
        for result in shown(results):
            logits = FoldedRun(network, inferer, result.phi)(batch_of(example["image"], network))
            segmentations[f"φ = {result.name}"] = logits.argmax(1)[0].cpu().numpy()
    cut: tuple[Any, ...] = (slice(None), slice(None))
    if label.dim() == 3:
        # The axial slice that shows the most of the reference, several labels rather than much of one.
        seen = [(label == value).flatten(0, 1).sum(0).sqrt() for value in label.unique() if value > 0]
        cut = (*cut, int(torch.stack(seen).sum(0).argmax()) if seen else label.shape[-1] // 2)
    # Anterior is up in RAS volumes; the first row is up in image files.
    origin = "lower" if label.dim() == 3 else "upper"
    background = image.mean(0).cpu().numpy()[cut].T
    top = max(10, int(label.max()))
    for axis, (name, segmentation) in zip(figure.subplots(1, len(segmentations)), segmentations.items(), strict=True):
        axis.imshow(background, cmap="gray", origin=origin)
        mask = np.ma.masked_equal(segmentation[cut].T, 0)
        axis.imshow(mask, cmap="tab10", vmin=1, vmax=top, alpha=0.55, origin=origin, interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.axis("off")
