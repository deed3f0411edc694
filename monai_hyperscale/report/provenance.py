"""Where the numbers of a report come from: bundle, weights, data, machine and how it was measured."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from monai_hyperscale.report.view import View, significant
from monai_hyperscale.search.confirmation import Confirmation
from monai_hyperscale.search.results import row_from_dict

__all__ = ["provenance"]


def provenance(view: View) -> dict[str, Any]:
    """Return all that the file says of its origin: groups of facts, commands, and long texts to unfold, by title."""
    frontier = view.frontier
    bundle, data, options = dict(frontier.bundle), dict(frontier.data), dict(frontier.options)
    settings, cases, command = bundle.pop("settings", None), data.pop("cases", []), options.pop("command", None)
    noun = f"{view.task.case_noun}s"
    data[noun] = len(cases)
    data.pop("mean_volumes", None)  # beside the labels' bars
    confirm = view.confirm
    parameters = {row.parameters for row in view.rows} - {None}
    if len(parameters) == 1:
        bundle["parameters"] = f"{parameters.pop():,} at every φ"
    groups: dict[str, Any] = {
        "Network": {**bundle, "task": frontier.task},
        "Data" if confirm is None else "Data to choose on": data,
    }
    commands, texts = {"Command": _command(command)}, {f"The {len(cases)} {noun}": ", ".join(map(str, cases))}
    if confirm is not None:
        groups["Data to confirm on"] = _confirming(view, confirm, noun)
        there = confirm.other.data["cases"]
        commands["Command, of the cases to confirm on"] = _command(confirm.other.options.get("command"))
        texts[f"The {len(there)} {noun} to confirm on"] = ", ".join(map(str, there))
    groups |= {"Machine": frontier.machine, "Measurement": options}
    if frontier.choice is not None:
        groups["Chosen"] = _chosen(view, frontier.choice, noun)
    found = {
        cost.title.lower(): significant(volume)
        for cost in view.costs
        if (volume := frontier.hypervolume.get(cost.key)) is not None
    }
    if found:
        groups["Hypervolume, of 1"] = found
    texts["Settings of the network"] = json.dumps(settings, indent=2, ensure_ascii=False) if settings else ""
    return {
        "groups": {title: _told(facts) for title, facts in groups.items()},
        "commands": {title: text for title, text in commands.items() if text},
        "texts": {title: text for title, text in texts.items() if text},
    }


def _confirming(view: View, found: Confirmation, noun: str) -> dict[str, Any]:
    """Return what the other frontier tells of its data, and which of the cases are in both."""
    other = found.other.data
    data = {noun if key == "cases" else key: len(value) if key == "cases" else value for key, value in other.items()}
    measured = sum(found.other.row(row.phi) is not None for row in view.rows)
    shared = f"{len(found.shared)}: {', '.join(found.shared)}" if found.shared else "none"
    return {**data, f"shared {noun}": shared, "φ measured": f"{measured} of {len(view.rows)}"}


def _chosen(view: View, choice: Mapping[str, Any], noun: str) -> dict[str, Any]:
    """Return the φ that was chosen when this was measured, and what it scored on the cases to confirm on."""
    facts = {"φ": view.phi_text(choice["phi"])}
    there = choice.get("confirmed")
    if there is not None:
        row = row_from_dict(there["row"], view.frontier.task)
        facts["confirmed on"] = f"{len(there['data']['cases'])} {there['data']['part']} {noun}"
        facts[f"{view.metric} there"] = f"{view.score_text(row.score.mean)} ({view.interval_text(row)})"
    return facts


def _told(value: Any) -> Any:
    """Return a value of the file as text, and a mapping as a mapping of texts."""
    if isinstance(value, Mapping):
        return {str(key).replace("_", " "): _told(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return ", ".join(part if isinstance(part, str) else json.dumps(part) for part in value)
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _command(command: Any) -> str:
    if not command:
        return ""
    return shlex.join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)
