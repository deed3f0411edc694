"""What a page says in words: of the curves, the choice, its confirmation, and where the numbers come from."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from monai_hyperscale.report.view import View, capital, significant
from monai_hyperscale.search.budget import unconfirmed
from monai_hyperscale.search.cost import WORKING_MEMORY
from monai_hyperscale.search.results import Frontier, row_from_dict

NOT_MEASURED = "not measured there"


def summary(view: View) -> str:
    """Return what the row that is shown first saves against the largest φ and loses, and its score on other cases."""
    return f"{_saving(view)} {_confirmed(view)}".rstrip()


def _saving(view: View) -> str:
    cost, chosen, reference = view.main_cost, view.rows[view.chosen], view.rows[view.reference]
    name, other = view.phi_name(chosen.phi), view.phi_name(reference.phi)
    scored = [row for row in view.rows if row.score.mean is not None]
    if not scored:
        return f"No case has a {view.metric}."
    if cost is None:
        best = (max if view.higher_is_better else min)(scored, key=lambda row: row.score.mean or 0.0)
        return f"{view.phi_name(best.phi)} has the best {view.metric}, {view.score_text(best.score.mean)}."
    if chosen is reference:
        return f"No φ takes less {cost.word} than {other} without losing more than one point of {view.metric}."
    share = _saved(cost.of(chosen), cost.of(reference))
    if share is None:
        return f"What {name} saves of {cost.word} against {other} is not known."
    change = view.score_change(chosen.score.mean, reference.score.mean)
    if change.startswith("±"):
        effect = f"for the same {view.metric}"
    else:
        figure, more = change[1:].removesuffix(" points"), change[0] == "+"
        points = ("point" if figure == "1.0" else "points") + " of " if view.is_share else ""
        if more == view.higher_is_better:
            effect = f"and is {figure} {points}{view.metric} better"
        else:
            effect = f"for {figure} {points}{view.metric}" + ("" if view.is_share else " more" if more else " less")
    return f"{name} costs {abs(share):.0f} % {'less' if share >= 0 else 'more'} {cost.word} than {other} {effect}."


def _confirmed(view: View) -> str:
    if view.confirm is None:
        return ""
    row, other = view.there(view.chosen), view.there(view.reference)
    where, name = cases_text(view, view.confirm.other), view.phi_name(view.rows[view.chosen].phi)
    if row is None:
        return f"On {where}, {name} was {NOT_MEASURED.removesuffix(' there')}."
    text = f"On {where}, {name} has a {view.metric} of {view.score_text(row.score.mean)}"
    if other is None or other is row or other.score.mean is None:
        return f"{text}."
    return f"{text}, {view.phi_name(view.rows[view.reference].phi)} one of {view.score_text(other.score.mean)}."


def _saved(value: Optional[float], reference: Optional[float]) -> Optional[float]:
    """Return the share in percent; ``None`` where one of the two was not measured."""
    return None if value is None or not reference else 100 * (1 - value / reference)


def cases_text(view: View, frontier: Frontier) -> str:
    """Return the cases of a frontier in words: ``1 validation pair``, ``9 other test cases``, ``all 9 cases``."""
    count, part, data = len(frontier.data["cases"]), frontier.data["part"], frontier.data["name"]
    found, own = view.confirm, view.frontier.data
    same = (data, part) == (own["name"], own["part"])
    if found is not None and frontier is found.other and not found.shared and same:
        part = f"other {part}" if part != "all" else "other"
    noun = view.task.case_noun + "s" * (count != 1)
    text = f"all {count} {noun}" if part == "all" else f"{count} {part} {noun}"
    return text if data == own["name"] else f"{text} of {data}"


def kicker(view: View) -> str:
    """Return what stands above the title: task, number of φ, and the cases, those to confirm on too."""
    count, part = len(view.frontier.data["cases"]), view.frontier.data["part"]
    text = f"{view.frontier.task.capitalize()} · {len(view.rows)} values of φ · {count} {view.task.case_noun}s"
    text += f", the {part} part" if part and part != "all" else ""
    return text if view.confirm is None else f"{text} · confirmed on {cases_text(view, view.confirm.other)}"


def hint(view: View) -> str:
    """Return how to read the charts."""
    best = "Upper" if view.higher_is_better else "Lower"
    text = f"{best} left is best. Move the dial{'' if view.single else ' through the rows'}, or touch a chart."
    return text + (f" {capital(WORKING_MEMORY)}." if any(cost.key == "memory" for cost in view.costs) else "")


def row_texts(view: View, position: int) -> dict[str, str]:
    """Return every number of a row as the dial shows it, by the name of its field, and what it is more or less."""
    row, reference = view.rows[position], view.rows[view.reference]
    texts = {"phi": view.phi_name(row.phi), "score": view.score_text(row.score.mean)}
    texts["score-interval"] = view.interval_text(row)
    if view.confirm is not None:
        there = view.there(position)
        texts["there"] = "–" if there is None else view.score_text(there.score.mean)
        texts["there-interval"] = NOT_MEASURED if there is None else view.interval_text(there)
    texts |= {cost.key: cost.text(row) for cost in view.costs}
    if row is not reference:
        texts["score-change"] = view.score_change(row.score.mean, reference.score.mean)
        for cost in view.costs:
            saved = _saved(cost.of(row), cost.of(reference))
            if saved is not None:
                size = f"{abs(saved):.0f}"
                sign = "±" if size == "0" else "−" if saved > 0 else "+"
                texts[f"{cost.key}-change"] = f"{sign}{size} % against {view.phi_name(reference.phi)}"
    return texts | {column.name: view.column(column, row)[0] for column in view.task.columns}


class Reading(NamedTuple):
    """A number of the dial: its name, its field of :func:`row_texts`, its unit, and the field beside it."""

    title: str
    field: str
    unit: str = ""
    aside: Optional[str] = None


def readings(view: View) -> list[Reading]:
    """Return the numbers of the dial."""
    metric = capital(view.metric)
    if view.confirm is None:
        found = [Reading(metric, "score", "", "score-interval")]
    else:
        here, there = (cases_text(view, each) for each in (view.frontier, view.confirm.other))
        found = [Reading(f"{metric}, {here}", "score", "", "score-interval")]
        found += [Reading(f"{metric}, {there}", "there", "", "there-interval")]
    found += [Reading(cost.title, cost.key, cost.unit, f"{cost.key}-change") for cost in view.costs]
    columns = [column for column in view.task.columns if column.higher_is_better is not None]
    return found + [Reading(column.title, column.name, "%" * column.share) for column in columns]


def budget_box(view: View) -> dict[str, Any]:
    """Return what the box that takes a budget says: a hint, a note or a warning, and budgets to begin with."""
    text, suggestions = "Limits, with commas between them; answered from the rows of this page", _suggestions(view)
    if view.confirm is None:
        note = unconfirmed(view.frontier)
        return {"hint": f"{text}.", "note": note and capital(note), "warning": None, "suggestions": suggestions}
    here, there = (cases_text(view, each) for each in (view.frontier, view.confirm.other))
    text += f": chosen on {here}, confirmed on {there}."
    return {"hint": text, "note": None, "warning": view.confirm.warning, "suggestions": suggestions}


def _suggestions(view: View) -> list[str]:
    row = view.rows[view.chosen]
    sign = ">=" if view.higher_is_better else "<="
    metric = re.sub(r"[\s-]+", "_", view.metric.strip().lower())
    wanted = [] if row.score.mean is None else [f"{metric} {sign} {_round(row.score.mean, not view.higher_is_better)}"]
    limits = {}
    for cost in view.costs:
        value = cost.of(row)
        if value is not None:
            limits[cost] = f"{cost.key} <= {_round(1.1 * value, True)}{cost.unit.removesuffix('FLOPs')}"
    both = [f"{limits[view.main_cost]}, {wanted[0]}"] if view.main_cost in limits and wanted else []
    return [*both, *wanted, *limits.values()][:4]


def _round(value: float, up: bool) -> str:
    """Return a number of two significant digits that is not below, or not above, a value."""
    if value == 0:
        return "0"
    decimals = 1 - math.floor(math.log10(abs(value)))
    steps = (math.ceil if up else math.floor)(round(value * 10.0**decimals, 6))
    return f"{steps * 10.0**-decimals:.{max(0, decimals)}f}"


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
