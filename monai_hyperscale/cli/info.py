"""``monai-hyperscale info``: what a trained bundle is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from monai_hyperscale.console.command import Arguments, command
from monai_hyperscale.console.exit_codes import DONE
from monai_hyperscale.console.options import bundle_argument
from monai_hyperscale.console.tables import print_table
from monai_hyperscale.errors import ArgumentError

if TYPE_CHECKING:
    from monai_hyperscale.bundle.network_settings import NetworkSettings
    from monai_hyperscale.networks.layers.factor import Phi

__all__ = ["bundle_facts", "info"]


@command("info", "show what a trained bundle is")
@bundle_argument
@click.option("--json", is_flag=True, help="print JSON")
def info(args: Arguments) -> int:
    """Show the task, channels, labels, range of phi, size and origin of a trained bundle."""
    from monai_hyperscale.bundle.locate import default_bundle

    try:
        bundle = default_bundle() if args.bundle is None else args.bundle
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    facts = bundle_facts(bundle)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print_table(_rows(facts))
    return DONE


def bundle_facts(bundle: Path) -> dict[str, Any]:
    """Return what is known of a trained bundle, ready for JSON.

    Raises:
        CheckpointError: if the folder holds no description of a trained network, or one of no network.
    """
    from monai_hyperscale.bundle.network_settings import NetworkSettings
    from monai_hyperscale.bundle.settings import build_network, read_settings
    from monai_hyperscale.inference.networks import model_folder
    from monai_hyperscale.io.hashing import sha256

    folder = model_folder(bundle)
    settings = read_settings(folder / "model.json", NetworkSettings)
    network = build_network(settings)
    weights = folder / "model.pt"
    task, phi = _of_the_task(settings)
    return {
        "bundle": str(bundle),
        "task": settings.task,
        "network": settings.network.get("name", "ScaleSpaceUNet"),
        "method": settings.method,
        "generator": settings.generator.get("name", "mlp"),
        "per_level": settings.per_level,
        "rescale_input": settings.rescale_input,
        "spatial_dims": settings.spatial_dims,
        "slices": settings.slices,
        "channels": list(settings.channels),
        "spacing": None if settings.spacing is None else list(settings.spacing),
        **task,
        "phi_range": list(settings.phi_range),
        "levels": network.primary.levels,
        "parameters": {
            "hypernetwork": sum(parameter.numel() for parameter in network.parameters()),
            "folded": sum(parameter.numel() for parameter in network.fold(phi).parameters()),
        },
        "weights": None
        if not weights.is_file()
        else {"file": str(weights), "bytes": weights.stat().st_size, "sha256": sha256(weights)},
        "provenance": settings.provenance,
    }


def _of_the_task(settings: NetworkSettings) -> tuple[dict[str, Any], Phi]:
    """Return what only networks for this task have, and the greatest φ as the network takes it."""
    from monai_hyperscale.tasks.registration.settings import RegistrationSettings
    from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

    high = settings.phi_range[1]
    if isinstance(settings, RegistrationSettings):
        facts = {
            "labels": {str(value): name for value, name in sorted(settings.labels.items())},
            "sizes": None if settings.sizes is None else list(settings.sizes),
            "integration_steps": settings.integration_steps,
            "field_scale": settings.field_scale,
            "passes": settings.passes,
            "regularization": None if settings.regularization is None else list(settings.regularization),
        }
        return facts, settings.context(high)
    assert isinstance(settings, SegmentationSettings)
    from monai_hyperscale.tasks.segmentation.segmenter import label_names

    labels = {str(value): name for value, name in sorted(label_names(settings).items())}
    return {"labels": labels, "roi_size": None if settings.roi_size is None else list(settings.roi_size)}, high


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    dims, weights, parameters = facts["spatial_dims"], facts["weights"], facts["parameters"]
    spacing = facts["spacing"]
    slices = ", over the slices of volumes" if facts["slices"] else ""
    rows = [
        ("bundle", facts["bundle"]),
        ("task", facts["task"]),
        ("network", f"{dims}D{slices}, {facts['network']}, {facts['levels']} levels"),
        ("method", f"{facts['method']}, {_conditioning(facts)}"),
        ("channels", ", ".join(facts["channels"])),
        ("labels", ", ".join(f"{value} {name}" for value, name in facts["labels"].items()) or "none"),
        ("spacing", "the image's own" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"),
        ("phi", f"trained from {facts['phi_range'][0]:g} to {facts['phi_range'][1]:g}"),
        ("parameters", f"{parameters['hypernetwork']:,} hypernetwork, {parameters['folded']:,} folded"),
        ("weights", "none yet: train the bundle" if weights is None else f"{weights['bytes'] / 1e6:.2f} MB"),
    ]
    if facts["task"] == "registration":
        rows.insert(4, ("field", _field(facts)))
    if weights is not None:
        rows.append(("sha256", weights["sha256"]))
    rows += [(str(key), _plain(value)) for key, value in facts["provenance"].items() if key != "cases"]
    parts = facts["provenance"].get("cases") or {}
    rows += [("cases", ", ".join(f"{len(names)} {part}" for part, names in parts.items()))] if parts else []
    return rows


def _conditioning(facts: dict[str, Any]) -> str:
    phi = "one phi per level" if facts["per_level"] else "one phi"
    return f"generator {facts['generator']}, {phi}" + facts["rescale_input"] * ", the first level is the input"


def _field(facts: dict[str, Any]) -> str:
    steps, scale, passes = (facts[name] for name in ("integration_steps", "field_scale", "passes"))
    regularization = facts["regularization"]
    kind = f"velocity, integrated in {steps} steps" if steps else "displacement"
    size = "" if scale == 1 else f", at {scale:g} of the size"
    size += "" if passes == 1 else f", in {passes} passes"
    smooth = "" if regularization is None else f", smoothness from {regularization[0]:g} to {regularization[1]:g}"
    return kind + size + smooth


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
