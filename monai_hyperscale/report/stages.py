"""Where the time goes that a user waits for, from file to file."""

from __future__ import annotations

from typing import Any

from monai_hyperscale.report.view import View, significant

__all__ = ["stage_facts", "stage_names"]


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


def _seconds(value: float) -> str:
    return significant(value, 2) if value >= 0.001 else "< 0.001"
