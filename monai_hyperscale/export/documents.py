"""What lies beside the network in the bundle of a fold: metadata, model card, licences, logging."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.manifest import input_text
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.io.atomic import write_text
from monai_hyperscale.tasks import task_named

__all__ = ["copy_licences", "fold_metadata", "model_card", "phi_text"]

# Versions and packages of a bundle that runs with MONAI alone.
_NEEDED = ("pytorch-ignite", "nibabel")


def phi_text(source: FoldSource) -> str:
    """Return φ, and what else the weights were generated from, as people read it."""
    return ", ".join(f"{name} = {source.context.text(name).replace(',', ', ')}" for name in source.context)


def fold_metadata(source: FoldSource) -> dict[str, Any]:
    """Return ``metadata.json`` of a fold: the source bundle's, where it has one, with what folding changes."""
    task = task_named(source.settings.task)
    own = source.files / "configs" / "metadata.json"
    try:
        content = source.settings.metadata(json.loads(own.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A training's folder need not have one, and what a user wrote need not be one.
        shipped = task.bundle / "configs" / "metadata.json"
        content = source.settings.metadata(json.loads(shipped.read_text(encoding="utf-8")))
    packages = {}
    for name in _NEEDED:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:  # pragma: no cover - this package requires both
            continue
    data = source.settings.provenance.get("data", "a user's data")
    return {
        **content,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"folded from {source.name} at {phi_text(source)}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": packages,
        "name": f"{source.name}, {phi_text(source)}",
        "task": source.settings.task.capitalize(),
        "description": f"A plain network for {phi_text(source)}, folded from the scale-space hypernetwork "
        f"{source.name}, which was trained on {data}.",
        # Those of the source are not of this φ.
        "eval_metrics": {},
    }


def copy_licences(source: FoldSource, folder: Path) -> None:
    """Copy the licences of the source bundle, and its data's, where it has them."""
    for name in ("LICENSE", "docs/data_license.txt"):
        if (source.files / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.files / name, folder / name)


def model_card(source: FoldSource, stock: StockBundle, facts: dict[str, Any]) -> str:
    """Return ``docs/README.md``.

    Args:
        source: the network.
        stock: what the bundle is.
        facts: the manifest.
    """
    settings = source.settings
    cost = facts["cost"]
    size = " × ".join(str(n) for n in cost["size"])
    rows = [
        ("folded from", f"{source.name}, weights with SHA-256 {source.weights_sha256[:16]}…"),
        ("trained on", str(settings.provenance.get("data", "not told"))),
        ("channels", ", ".join(settings.channels)),
        ("parameters", f"{cost['parameters']:,}"),
        ("cost", f"{cost['flops'] / 1e9:.3g} GFLOPs for {size} voxels"),
        ("spacing", "the image's own" if settings.spacing is None else " × ".join(map(str, settings.spacing)) + " mm"),
        *stock.card_rows(),
    ]
    files = [entry for entry in facts["files"] if "largest_difference" in entry]
    lines = [
        f"# {source.name} at {phi_text(source)}",
        "",
        "A plain network for one rescaling factor, folded from a scale-space hypernetwork (Gonzalez Ortiz, Guttag, "
        "Dalca; NeurIPS 2023) by monai-hyperscale. It runs with MONAI, PyTorch, pytorch-ignite and nibabel alone.",
        "",
        "Not for diagnosis or treatment.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "## Commands",
        "",
        "```",
        "python -m monai.bundle run --config_file configs/inference.json --dataset_dir IMAGES --output_dir OUT"
        + stock.arguments,
        "```",
        "",
        *stock.card_text(),
        "",
        "What is done to an image before the network, and has to be done where one of the files below is used by "
        "itself, stands as MONAI transforms under `preprocessing` in `configs/inference.json`.",
        "",
        "## Files",
        "",
        "| file | bytes | image sizes | largest difference to the source network |",
        "|---|---|---|---|",
        *(
            f"| {entry['path']} | {entry['bytes']:,} | {entry['sizes']} | {entry['largest_difference']:.1e} |"
            for entry in files
        ),
        "",
        f"Differences are in units of the largest output, measured on {input_text(facts['verified_on'])}. "
        "Hashes and all else are in `manifest.json`.",
        "",
        "## Licence",
        "",
        "The configurations are under the Apache License 2.0. The weights are those of the source bundle, under its "
        "licence; see `LICENSE` and `docs/data_license.txt` where the source has them.",
    ]
    return "\n".join(lines) + "\n"


def write_logging(source: FoldSource, path: Path) -> None:
    """Write ``logging.conf``: that of the task's own bundle."""
    shipped = task_named(source.settings.task).bundle / "configs" / "logging.conf"
    write_text(path, shipped.read_text(encoding="utf-8"))
