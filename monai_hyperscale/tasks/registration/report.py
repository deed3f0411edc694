"""What a registration's training ends with: a table of what every φ gains and costs, and a picture of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import ignite.distributed as idist
import numpy as np
import torch
from matplotlib.figure import Figure
from monai.engines import Evaluator
from torch.utils.benchmark import Timer

from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.io.atomic import replacing
from monai_hyperscale.networks.layers.factor import Phi, as_factors
from monai_hyperscale.registration import warp
from monai_hyperscale.tasks.registration.measures import PairMeasures, PhiRegistration
from monai_hyperscale.tasks.segmentation.report import FoldedRun, batch_of, curve_axes, gigaflops, shown
from monai_hyperscale.training.tables import rounded, write_tables
from monai_hyperscale.training.validation import evaluate_phis

__all__ = ["registration_report"]

# What the curves show for each score, and its name.
_CURVES = {"dice": "Dice", "error": "end-point error, voxels", "correlation": "correlation"}
# Voxels between the lines of the grid that shows the deformation.
_GRID = 4


def registration_report(
    network: HyperNetwork,
    evaluator: Evaluator,
    inferer: PhiInferer,
    phis: Sequence[Phi],
    measures: PairMeasures,
    folder: Union[str, Path],
    title: str,
    example: Mapping[str, Any],
    method: str = "sshn",
) -> list[PhiRegistration]:
    """Evaluate a trained network at several φ; print the table, and write it as JSON, CSV and a picture.

    Every row has the columns of :class:`PairMeasures`, averaged over pairs, the cost of the example and the seconds
    that the folded network takes to register and warp it, on this machine.

    Args:
        network: the hypernetwork, with the weights to report.
        evaluator: over pairs that no weight or choice depended on.
        inferer: its inferer.
        phis: the factors, each a number or one number per level, and λ after it for networks that know λ.
        measures: the evaluator's.
        folder: where ``registration_per_phi.json``, ``.csv`` and ``.png`` go.
        title: what was evaluated, for the picture.
        example: a preprocessed pair, see :class:`PairDataset`, for cost, time and the picture.
        method: what the network was trained as, for the JSON file and the picture.

    Returns:
        what every φ measured.
    """
    path = Path(folder) / "registration_per_phi"
    results = evaluate_phis(evaluator, inferer, phis, measures.result)
    if idist.get_rank() > 0:
        return results
    images = torch.cat([batch_of(example[name], network) for name in ("moving", "fixed")], dim=1)
    flops = [gigaflops(network, images, inferer, result.phi) for result in results]
    seconds = [_seconds(network, inferer, result, images) for result in results]
    rows = [
        {**_row(result, network), "gflops": rounded(cost), "seconds": rounded(time), **_per_label(result)}
        for result, cost, time in zip(results, flops, seconds, strict=True)
    ]
    title = title if method == "sshn" else f"{title}, {method}"
    pairs = results[0].values.shape[0]
    facts = {"title": title, "method": method, "pairs": pairs, "labels": list(measures.labels.values())}
    write_tables(path, rows, f"{title}: registration per phi, {pairs} pairs", {**facts, "score": measures.score})
    with replacing(path.with_suffix(".png")) as temporary:
        _picture(network, inferer, results, flops, title, example).savefig(temporary, dpi=120)
    logging.getLogger(__name__).info(f"Wrote {path.with_suffix('.png')}, .csv and .json.")
    return results


def _row(result: PhiRegistration, network: HyperNetwork) -> dict[str, Any]:
    row: dict[str, Any] = {"phi": result.phi}
    if getattr(network.primary, "regularization_context", False):
        *factors, weight = as_factors(result.phi)
        row = {"phi": factors[0] if len(factors) == 1 else tuple(factors), "lambda": weight}
    names = [name for name in result.names if not name.startswith("dice")]
    if len(names) < len(result.names):
        names = ["dice_before", "dice", *names]
    return {**row, **{name: rounded(result.average(name)) for name in names}}


def _per_label(result: PhiRegistration) -> dict[str, float]:
    return {name: rounded(result.average(name)) for name in result.names if name.startswith("dice")}


class _Registration(torch.nn.Module):
    """A folded network and the warp by its field."""

    def __init__(self, run: FoldedRun) -> None:
        super().__init__()
        self.run = run

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return warp(images[:, : images.shape[1] // 2], self.run(images))


def _seconds(network: HyperNetwork, inferer: PhiInferer, result: PhiRegistration, images: torch.Tensor) -> float:
    names = {"register": _Registration(FoldedRun(network, inferer, result.phi)), "images": images}
    timer = Timer("register(images)", globals=names, num_threads=torch.get_num_threads())
    with torch.inference_mode():
        return timer.blocked_autorange(min_run_time=0.2).median


def _picture(
    network: HyperNetwork,
    inferer: PhiInferer,
    results: Sequence[PhiRegistration],
    flops: Sequence[float],
    title: str,
    example: Mapping[str, Any],
) -> Figure:
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(title)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    curves, row = parts
    by_phi, by_cost = curves.subplots(1, 2)
    measure = {"error_removed": "error"}.get(results[0].score, results[0].score)
    phis = curve_axes(results, by_phi, by_cost, _CURVES[measure])
    values = [result.average(measure) for result in results]
    before = results[0].average(f"{measure}_before")
    for places, axis in ((phis, by_phi), (flops, by_cost)):
        axis.axhline(before, color="grey", ls="--", lw=1, label="before")
        axis.plot(places, values, "ko-", lw=2, label="after")
    by_phi.legend(fontsize="small")
    for result, cost, value in zip(results, flops, values, strict=True):
        by_cost.annotate(result.name, (cost, value), textcoords="offset points", xytext=(4, -12), fontsize=8)
    _example_row(row, network, inferer, results, example)
    return figure


def _example_row(
    figure: Any,
    network: HyperNetwork,
    inferer: PhiInferer,
    results: Sequence[PhiRegistration],
    example: Mapping[str, Any],
) -> None:
    moving, fixed = (batch_of(example[name], network) for name in ("moving", "fixed"))
    images: dict[str, tuple[torch.Tensor, Any]] = {"moving": (moving, None), "fixed": (fixed, None)}
    with torch.no_grad():
        for result in shown(results):
            field = FoldedRun(network, inferer, result.phi)(torch.cat([moving, fixed], dim=1))
            images[f"φ = {result.name}"] = (warp(moving, field), field[0].cpu().numpy())
    volume = moving.dim() == 5
    # Anterior is up in RAS volumes; the first row is up in image files.
    origin = "lower" if volume else "upper"
    for axis, (name, (image, field)) in zip(figure.subplots(1, len(images)), images.items(), strict=True):
        picture = image[0].mean(0).cpu().numpy()
        middle = picture.shape[-1] // 2
        axis.imshow((picture[..., middle] if volume else picture).T, cmap="gray", vmin=0, vmax=1, origin=origin)
        if field is not None:
            plane = field[:2, ..., middle] if volume else field[:2]
            for where in np.indices(plane.shape[1:]) + plane:
                axis.contour(where.T, levels=np.arange(0, where.max(), _GRID), colors="tab:orange", linewidths=0.4)
        axis.set_title(name, fontsize=9)
        axis.axis("off")
