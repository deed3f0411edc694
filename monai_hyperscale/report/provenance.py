"""Where the numbers of a report come from: bundle, weights, data, machine and how it was measured."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from monai_hyperscale.report.view import View, significant
from monai_hyperscale.search.results import row_from_dict


def provenance(view: View) -> dict[str, Any]:
    """Return all that the file says of its origin: groups of facts, commands, and long texts to unfold, by title."""
    frontier, confirm, noun = view.frontier, view.confirm, f"{view.task.case_noun}s"
    bundle, data, options = dict(frontier.bundle), dict(frontier.data), dict(frontier.options)
    settings, cases = bundle.pop("settings", None), data.pop("cases")
    commands, texts = {"Command": options.pop("command", None)}, {f"The {len(cases)} {noun}": cases}
    data[noun] = len(cases)
    data.pop("mean_volumes", None)  # beside the labels' bars
    parameters = {row.parameters for row in view.rows} - {None}
    if len(parameters) == 1:
        bundle["parameters"] = f"{parameters.pop():,} at every φ"
    groups: dict[str, Any] = {
        "Network": {**bundle, "task": frontier.task},
        "Data" if confirm is None else "Data to choose on": data,
    }
    if confirm is not None:
        other = {key: value for key, value in confirm.other.data.items() if key != "cases"}
        there, shared = confirm.other.data["cases"], confirm.shared
        measured = sum(view.there(n) is not None for n in range(len(view.rows)))
        groups["Data to confirm on"] = {
            **other,
            noun: len(there),
            f"shared {noun}": f"{len(shared)}: {', '.join(shared)}" if shared else "none",
            "φ measured": f"{measured} of {len(view.rows)}",
        }
        commands["Command, of the cases to confirm on"] = confirm.other.options.get("command")
        texts[f"The {len(there)} {noun} to confirm on"] = there
    groups |= {"Machine": frontier.machine, "Measurement": options}
    if frontier.choice is not None:
        groups["Chosen"] = _chosen(view, frontier.choice, noun)
    volumes = {cost.word: frontier.hypervolume.get(cost.key) for cost in view.costs}
    found = {word: significant(volume) for word, volume in volumes.items() if volume is not None}
    if found:
        groups["Hypervolume, of 1"] = found
    told = {title: ", ".join(map(str, names)) for title, names in texts.items()}
    told["Settings of the network"] = json.dumps(settings, indent=2, ensure_ascii=False) if settings else ""
    return {
        "groups": {title: _told(facts) for title, facts in groups.items()},
        "commands": {title: _command(command) for title, command in commands.items() if command},
        "texts": {title: text for title, text in told.items() if text},
    }


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
    return shlex.join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)
