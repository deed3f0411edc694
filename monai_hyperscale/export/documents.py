"""What lies beside the network in the bundle of a fold: metadata, model card, licences, logging."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.manifest import Manifest
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.io.files import write_text
from monai_hyperscale.tasks import task_named


def write_configs(source: FoldSource, stock: StockBundle, folder: Path) -> None:
    """Write a bundle's configurations and metadata, its task's ``logging.conf`` and the source's licences."""
    for name, content in (("inference", stock.config()), ("metadata", fold_metadata(source))):
        write_text(folder / "configs" / f"{name}.json", json.dumps(content, indent=4) + "\n")
    shutil.copyfile(task_named(source.settings.task).bundle / "configs/logging.conf", folder / "configs/logging.conf")
    for name in ("LICENSE", "docs/data_license.txt"):
        if (source.files / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.files / name, folder / name)


def fold_metadata(source: FoldSource) -> dict[str, Any]:
    """Return ``metadata.json`` of a fold: the source bundle's, where it has one, with what folding changes."""
    settings, name = source.settings, f"{source.name}, {source.phi_text}"
    try:
        content = settings.metadata(json.loads((source.files / "configs/metadata.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A training's folder need not have one, and what a user wrote need not be one.
        shipped = task_named(settings.task).bundle / "configs" / "metadata.json"
        content = settings.metadata(json.loads(shipped.read_text(encoding="utf-8")))
    data = settings.provenance.get("data", "a user's data")
    return {
        **content,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"folded from {source.name} at {source.phi_text}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        # Of a bundle that runs with MONAI alone.
        "required_packages_version": {name: version(name) for name in ("pytorch-ignite", "nibabel")},
        "name": name,
        "task": settings.task.capitalize(),
        "description": f"A plain network for {source.phi_text}, folded from the scale-space hypernetwork "
        f"{source.name}, which was trained on {data}.",
        # Those of the source are not of this φ.
        "eval_metrics": {},
    }


def model_card(source: FoldSource, stock: StockBundle, manifest: Manifest) -> str:
    """Return ``docs/README.md``."""
    environment = Environment(
        loader=PackageLoader("monai_hyperscale.export"),
        autoescape=False,  # Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    card = environment.get_template("card.md.j2")
    return card.render(source=source, phi=source.phi_text, settings=source.settings, stock=stock, manifest=manifest)
