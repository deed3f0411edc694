"""``monai-hyperscale info``: what a trained bundle is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from monai_hyperscale.console.command import DONE, Arguments, command
from monai_hyperscale.console.options import bundle_argument
from monai_hyperscale.console.tables import print_table

if TYPE_CHECKING:
    from monai_hyperscale.bundle.network_settings import NetworkSettings

_LISTED = 6  # of names that stand in one line


@command("info", "show what a trained bundle is")
@bundle_argument
@click.option("--json", is_flag=True, help="print JSON")
def info(args: Arguments) -> int:
    """Show the task, channels, labels, range of phi, size and origin of a trained bundle."""
    from monai_hyperscale.bundle.locate import default_bundle
    from monai_hyperscale.bundle.settings import read_settings
    from monai_hyperscale.inference.networks import model_folder

    bundle = args.bundle or default_bundle()
    folder = model_folder(bundle)
    settings = read_settings(folder / "model.json")
    facts = _facts(bundle, folder, settings)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        print_table(_rows(settings, facts))
    return DONE


def _facts(bundle: Path, folder: Path, settings: NetworkSettings) -> dict[str, Any]:
    """Return what is known of a trained bundle, ready for JSON."""
    from monai_hyperscale.bundle.settings import build_network
    from monai_hyperscale.io.files import sha256

    network, file = build_network(settings), folder / "model.pt"
    weights = {"file": str(file), "bytes": file.stat().st_size, "sha256": sha256(file)} if file.is_file() else None
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
        "spacing": settings.spacing and list(settings.spacing),
        **settings.facts(),
        "phi_range": list(settings.phi_range),
        "levels": network.primary.levels,
        "parameters": {
            "hypernetwork": sum(parameter.numel() for parameter in network.parameters()),
            "folded": sum(parameter.numel() for parameter in network.fold(settings.phi_range[1]).parameters()),
        },
        "weights": weights,
        "provenance": settings.provenance,
    }


def _rows(settings: NetworkSettings, facts: dict[str, Any]) -> list[tuple[str, str]]:
    dims, weights, parameters, spacing = (facts[name] for name in ("spatial_dims", "weights", "parameters", "spacing"))
    slices = ", over the slices of volumes" if facts["slices"] else ""
    phi = "one phi per level" if facts["per_level"] else "one phi"
    conditioning = f"generator {facts['generator']}, {phi}" + facts["rescale_input"] * ", the first level is the input"
    rows = [
        ("bundle", facts["bundle"]),
        ("task", facts["task"]),
        ("network", f"{dims}D{slices}, {facts['network']}, {facts['levels']} levels"),
        ("method", f"{facts['method']}, {conditioning}"),
        *settings.description(),
        ("channels", ", ".join(facts["channels"])),
        ("labels", ", ".join(f"{value} {name}" for value, name in facts["labels"].items()) or "none"),
        ("spacing", "the image's own" if spacing is None else " x ".join(f"{s:g}" for s in spacing) + " mm"),
        ("phi", f"trained from {facts['phi_range'][0]:g} to {facts['phi_range'][1]:g}"),
        ("parameters", f"{parameters['hypernetwork']:,} hypernetwork, {parameters['folded']:,} folded"),
        ("weights", "none yet: train the bundle" if weights is None else f"{weights['bytes'] / 1e6:.2f} MB"),
    ]
    rows += [] if weights is None else [("sha256", weights["sha256"])]
    rows += [(str(key), _plain(value)) for key, value in facts["provenance"].items() if key != "cases"]
    parts = facts["provenance"].get("cases") or {}
    return rows + ([("cases", ", ".join(f"{len(names)} {part}" for part, names in parts.items()))] if parts else [])


def _plain(value: Any) -> str:
    """Return a value from a JSON file as people write it, of long lists the first few."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list):
        more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED + 1 else ""
        return ", ".join(map(_plain, value[:_LISTED] if more else value)) + more
    return "yes" if value is True else "no" if value is False else "none" if value is None else str(value)
