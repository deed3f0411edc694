"""Where the numbers of a report come from: bundle, weights, data, machine and how it was measured."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, Optional
from xml.etree import ElementTree

from monai_hyperscale.report.markup import Child, element
from monai_hyperscale.report.view import View, significant
from monai_hyperscale.search.confirmation import Confirmation
from monai_hyperscale.search.results import row_from_dict

__all__ = ["provenance"]


def provenance(view: View) -> ElementTree.Element:
    """Return all that the file says of its origin."""
    frontier = view.frontier
    bundle, data, options = dict(frontier.bundle), dict(frontier.data), dict(frontier.options)
    settings, cases, command = bundle.pop("settings", None), data.pop("cases", []), options.pop("command", None)
    noun = "pairs" if view.registration else "cases"
    data[noun] = len(cases)
    data.pop("mean_volumes", None)  # beside the labels' bars
    confirm = view.confirm
    there = [] if confirm is None else confirm.other.data["cases"]
    found = {
        cost.title.lower(): significant(volume)
        for cost in view.costs
        if (volume := frontier.hypervolume.get(cost.key)) is not None
    }
    parameters = {row.parameters for row in view.rows} - {None}
    if len(parameters) == 1:
        bundle["parameters"] = f"{parameters.pop():,} at every φ"
    groups = [
        _group("Network", {**bundle, "task": frontier.task}),
        _group("Data" if confirm is None else "Data to choose on", data),
        _group("Data to confirm on", _confirming(view, confirm, noun)) if confirm is not None else None,
        _group("Machine", frontier.machine),
        _group("Measurement", options),
        _group("Chosen", _chosen(view, frontier.choice, noun)) if frontier.choice is not None else None,
        _group("Hypervolume, of 1", found) if found else None,
    ]
    return element(
        "div",
        element("div", groups, class_="facts"),
        _command("Command", command),
        _command("Command, of the cases to confirm on", confirm.other.options.get("command")) if confirm else None,
        _folded(f"The {len(cases)} {noun}", ", ".join(map(str, cases))),
        _folded(f"The {len(there)} {noun} to confirm on", ", ".join(map(str, there))),
        _folded("Settings of the network", json.dumps(settings, indent=2, ensure_ascii=False) if settings else ""),
    )


def _confirming(view: View, found: Confirmation, noun: str) -> dict[str, Any]:
    """Return what the other frontier tells of its data, and which of the cases are in both."""
    data = {**found.other.data, noun: len(found.other.data["cases"])}
    if view.registration:
        data.pop("cases")
    measured = sum(found.other.row(row.phi) is not None for row in view.rows)
    shared = f"{len(found.shared)}: {', '.join(found.shared)}" if found.shared else "none"
    return {**data, f"shared {noun}": shared, "φ measured": f"{measured} of {len(view.rows)}"}


def _chosen(view: View, choice: Mapping[str, Any], noun: str) -> dict[str, Any]:
    """Return the φ that was chosen when this was measured, and what it scored on the cases to confirm on."""
    facts = {"φ": view.phi_text(choice["phi"])}
    there = choice.get("confirmed")
    if there is not None:
        row = row_from_dict(there["row"])
        facts["confirmed on"] = f"{len(there['data']['cases'])} {there['data']['part']} {noun}"
        facts[f"{view.metric} there"] = f"{view.score_text(row.score.mean)} ({view.interval_text(row)})"
    return facts


def _group(title: str, facts: Mapping[str, Any]) -> ElementTree.Element:
    entries = [
        (element("dt", str(key).replace("_", " ")), element("dd", _value(value))) for key, value in facts.items()
    ]
    return element("div", element("h3", title), element("dl", entries))


def _value(value: Any) -> Child:
    if isinstance(value, Mapping):
        entries = [
            (element("dt", str(key).replace("_", " ")), element("dd", _value(one))) for key, one in value.items()
        ]
        return element("dl", entries)
    if isinstance(value, (list, tuple)):
        return ", ".join(part if isinstance(part, str) else json.dumps(part) for part in value)
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _command(title: str, command: Any) -> Optional[ElementTree.Element]:
    if not command:
        return None
    text = shlex.join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)
    return element("div", element("h3", title), element("pre", text, tabindex=0))


def _folded(title: str, text: str) -> Optional[ElementTree.Element]:
    return element("details", element("summary", title), element("pre", text, tabindex=0)) if text else None
