"""What a training ends with: a table of Dice per φ, and a picture of it."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import ignite.distributed as idist
import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from monai.engines import Evaluator

from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import PhiInferer, PhiWholeImageInferer
from monai_hyperscale.io.atomic import replacing, write_text
from monai_hyperscale.search.cost import count_flops
from monai_hyperscale.training.validation import PhiDice, evaluate_phis

__all__ = ["dice_report"]

# Slices of the example are shown at this many φ.
_SHOWN = 5


def dice_report(
    network: HyperNetwork,
    evaluator: Evaluator,
    inferer: PhiWholeImageInferer,
    phis: Sequence[float],
    labels: Mapping[int, str],
    folder: Union[str, Path],
    title: str,
    example: Any = None,
) -> list[PhiDice]:
    """Evaluate a trained network at several φ; print the table, and write it as JSON, CSV and a picture.

    Args:
        network: the hypernetwork, with the weights to report.
        evaluator: over cases that no weight or choice depended on.
        inferer: its inferer.
        phis: the factors.
        labels: names of the label values.
        folder: where ``dice_per_phi.json``, ``.csv`` and ``.png`` go.
        title: what was evaluated, for the picture.
        example: a preprocessed case ``{"image": (C, *sizes), "label": (1, *sizes)}`` for FLOPs and for the picture;
            ``None`` leaves both out.

    Returns:
        the Dice of every φ.
    """
    folder = Path(folder)
    results = evaluate_phis(evaluator, inferer, phis)
    if idist.get_rank() > 0:
        return results
    names = [labels.get(value, f"label {value}") for value in range(1, results[0].scores.shape[1] + 1)]
    flops = [_gigaflops(network, example, inferer, result.phi) for result in results]
    rows = [
        {
            "phi": result.phi,
            "dice": round(result.mean, 4),
            **{name: round(dice, 4) for name, dice in zip(names, result.per_label)},
            **({"gflops": float(f"{cost:.4g}")} if cost is not None else {}),
        }
        for result, cost in zip(results, flops)
    ]
    print(f"\n{title}: Dice per phi, {results[0].scores.shape[0]} cases\n{_table(rows)}\n", flush=True)
    content = {"title": title, "cases": results[0].scores.shape[0], "labels": names, "rows": rows}
    write_text(folder / "dice_per_phi.json", json.dumps(content, indent=2) + "\n")
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "dice_per_phi.csv", buffer.getvalue())
    with replacing(folder / "dice_per_phi.png") as temporary:
        _picture(network, inferer, results, names, flops, title, example).savefig(temporary, dpi=120)
    logging.getLogger(__name__).info(f"Wrote {folder / 'dice_per_phi.png'}, .csv and .json.")
    return results


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    header = list(rows[0])
    cells = [header] + [[f"{row[name]:g}" if name == "phi" else f"{row[name]:.4g}" for name in header] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells)


def _gigaflops(network: HyperNetwork, example: Any, inferer: PhiInferer, phi: float) -> float | None:
    if example is None:
        return None
    image = torch.as_tensor(example["image"])[None].to(next(network.parameters()).device)
    plain = network.fold(phi)

    def fixed(x: torch.Tensor, phi: float) -> torch.Tensor:
        return plain(x)

    class _Whole(torch.nn.Module):
        # The cost of the whole image, as it is run: in one piece, in windows, or slice by slice.
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return inferer(x, fixed)

    return count_flops(_Whole(), image) / 1e9


def _picture(
    network: HyperNetwork,
    inferer: PhiInferer,
    results: Sequence[PhiDice],
    names: Sequence[str],
    flops: Sequence[float | None],
    title: str,
    example: Any,
) -> Figure:
    figure = Figure(figsize=(12, 7 if example is not None else 4), layout="constrained")
    top, bottom = (
        figure.subfigures(2, 1, height_ratios=(1.25, 1)) if example is not None else (figure.subfigures(1, 1), None)
    )
    figure.suptitle(title)
    phis = [result.phi for result in results]
    axes = top.subplots(1, 2 if example is not None else 1, squeeze=False)[0]
    for index, name in enumerate(names):
        axes[0].plot(phis, [result.per_label[index] for result in results], lw=1, alpha=0.6, label=name)
    axes[0].plot(phis, [result.mean for result in results], "ko-", lw=2, label="mean")
    axes[0].set(xlabel="rescaling factor φ", ylabel="Dice")
    axes[0].legend(fontsize="small")
    if example is not None:
        axes[1].plot(flops, [result.mean for result in results], "ko-", lw=2)
        for phi, cost, result in zip(phis, flops, results):
            axes[1].annotate(f"{phi:g}", (cost, result.mean), textcoords="offset points", xytext=(4, -12), fontsize=8)
        axes[1].set(xlabel="GFLOPs of the example image (labels: φ)", ylabel="mean Dice")
    for axis in axes:
        axis.margins(0.08)
        axis.grid(alpha=0.3)
    if bottom is not None:
        _example_row(bottom, network, inferer, phis, example)
    return figure


def _example_row(figure: Any, network: HyperNetwork, inferer: PhiInferer, phis: Sequence[float], example: Any) -> None:
    image, label = torch.as_tensor(example["image"]), torch.as_tensor(example["label"])[0]
    shown = [phis[i] for i in np.unique(np.linspace(0, len(phis) - 1, _SHOWN).round().astype(int))]
    segmentations = {"reference": label.cpu().numpy()}
    for phi in shown:
        plain = network.fold(phi)
        logits = inferer(image[None].to(next(network.parameters()).device), lambda x, phi, plain=plain: plain(x))
        segmentations[f"φ = {phi:g}"] = logits.argmax(1)[0].cpu().numpy()
    if label.dim() == 3:
        # The axial slice that shows the most of the reference, several labels rather than much of one.
        seen = [(label == value).flatten(0, 1).sum(0).sqrt() for value in label.unique() if value > 0]
        plane = int(torch.stack(seen).sum(0).argmax()) if seen else label.shape[-1] // 2
        cut = (slice(None), slice(None), plane)
    else:
        cut = (slice(None), slice(None))
    background = image.mean(0).cpu().numpy()[cut].T
    colours = matplotlib.colormaps["tab10"]
    top = max(1, int(label.max()))
    for axis, (name, segmentation) in zip(figure.subplots(1, len(segmentations)), segmentations.items()):
        axis.imshow(background, cmap="gray", origin="lower")
        mask = np.ma.masked_equal(segmentation[cut].T, 0)
        axis.imshow(mask, cmap=colours, vmin=1, vmax=max(10, top), alpha=0.55, origin="lower", interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.axis("off")
