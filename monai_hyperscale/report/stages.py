"""Where the time goes that a user waits for, from file to file."""

from __future__ import annotations

from typing import Any, Optional
from xml.etree import ElementTree

from monai_hyperscale.report.markup import element
from monai_hyperscale.report.view import View, significant

__all__ = ["stage_bars", "stage_facts", "stage_names"]


def stage_names(view: View) -> list[str]:
    """Return the stages that any row has times of, in the order in which an image goes through them."""
    return list(dict.fromkeys(name for row in view.rows for name in row.stages))


def stage_facts(view: View, position: int) -> list[list[Any]]:
    """Return what the script needs of every stage in a row: its place on the common scale, seconds, and share."""
    stages = view.rows[position].stages
    whole, longest = sum(stages.values()), max((max(row.stages.values(), default=0.0) for row in view.rows), default=0)
    facts: list[list[Any]] = []
    for name in stage_names(view):
        seconds = stages.get(name)
        if seconds is None or not whole:
            facts.append([0.0, "–", ""])
        else:
            facts.append([round(100 * seconds / longest, 3), _seconds(seconds), f"{100 * seconds / whole:.0f} %"])
    if facts:
        outside = whole - stages.get("network", 0.0)
        facts.append([None, _seconds(whole) if whole else "–", f"{100 * outside / whole:.0f} %" if whole else ""])
    return facts


def stage_bars(view: View) -> Optional[ElementTree.Element]:
    """Return one bar for every stage, at the φ that is shown first; ``None`` where no times were taken."""
    names, facts = stage_names(view), stage_facts(view, view.chosen)
    if not names:
        return None
    lines = [_line(number, name, *fact) for number, (name, fact) in enumerate(zip(names, facts, strict=False))]
    _, seconds, share = facts[-1]
    below = element(
        "tr",
        element("th", "In all, and its share outside the network", scope="row", colspan=2),
        element("td", seconds, class_="number value"),
        element("td", share, class_="number change"),
        data_stage=len(names),
    )
    head = element(
        "tr",
        element("th", "Stage", scope="col"),
        element("th", "", scope="col"),
        element("th", "seconds", scope="col", class_="number"),
        element("th", "share", scope="col", class_="number"),
    )
    parts = (element("thead", head), element("tbody", lines), element("tfoot", below))
    return element("table", parts, class_="bars stages")


def _line(number: int, name: str, place: float, seconds: str, share: str) -> ElementTree.Element:
    drawn = element(
        "svg",
        element("rect", x=0, y=4, width=100, height=14, class_="trough"),
        element("rect", x=0, y=4, width=place, height=14, class_="bar network" if name == "network" else "bar"),
        viewBox="0 0 100 22",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", drawn, class_="extent"),
        element("td", seconds, class_="number value"),
        element("td", share, class_="number change"),
        data_stage=number,
    )


def _seconds(value: float) -> str:
    return significant(value, 2) if value >= 0.001 else "< 0.001"
