"""What the user moves and fills in: the dial and the budget."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, Optional

from monai_hyperscale.report.confirm import cases_text, texts_there
from monai_hyperscale.report.summary import comparison
from monai_hyperscale.report.view import View, capital
from monai_hyperscale.search.confirmation import unconfirmed

__all__ = ["Reading", "budget_box", "dial_readings"]


class Reading(NamedTuple):
    """A number of the dial: its name, the field that the script fills, its text and unit, and the field beside it."""

    title: str
    field: str
    text: str
    unit: str = ""
    aside: Optional[tuple[str, str]] = None


def dial_readings(view: View) -> list[Reading]:
    """Return the numbers of the row that the dial is at."""
    row = view.rows[view.chosen]
    changes = comparison(view, view.chosen)
    interval = ("score-interval", view.interval_text(row))
    there = texts_there(view, view.chosen)
    score = view.score_text(row.score.mean)
    if view.confirm is None:
        readings = [Reading(capital(view.metric), "score", score, "", interval)]
    else:
        here, other = (
            f"{capital(view.metric)}, {cases_text(view, each)}" for each in (view.frontier, view.confirm.other)
        )
        readings = [
            Reading(here, "score", score, "", interval),
            Reading(other, "there", there["there"], "", ("there-interval", there["there-interval"])),
        ]
    readings += [
        Reading(cost.title, cost.key, cost.text(row), cost.unit, (f"{cost.key}-change", changes.get(cost.key, "")))
        for cost in view.costs
    ]
    readings += [
        Reading(column.title, column.name, view.column_text(column, row), "%" if column.share else "")
        for column in view.task.columns
        if column.higher_is_better is not None
    ]
    return readings


def budget_box(view: View) -> dict[str, Any]:
    """Return what the box that takes a budget says: a hint, a note or a warning, and budgets to begin with."""
    hint = "Limits, with commas between them; answered from the rows of this page"
    note = warning = None
    if view.confirm is None:
        hint += "."
        note = unconfirmed(view.frontier)
    else:
        here, there = (cases_text(view, each) for each in (view.frontier, view.confirm.other))
        hint += f": chosen on {here}, confirmed on {there}."
        warning = view.confirm.warning
    return {
        "hint": hint,
        "note": capital(note) if note else None,
        "warning": warning,
        "suggestions": _suggestions(view),
    }


def _suggestions(view: View) -> list[str]:
    """Return budgets that this frontier can meet."""
    row = view.rows[view.chosen]
    sign = ">=" if view.higher_is_better else "<="
    metric = re.sub(r"[\s-]+", "_", view.metric.strip().lower())
    wanted = [] if row.score.mean is None else [f"{metric} {sign} {_round(row.score.mean, not view.higher_is_better)}"]
    units = {"GFLOPs": "G", "TFLOPs": "T", "MFLOPs": "M"}
    limits = []
    for cost in view.costs:
        value = cost.of(row)
        if value is not None:
            limits.append(f"{cost.key} <= {_round(1.1 * value, True)}{units.get(cost.unit, cost.unit)}")
    main = [limit for limit in limits if view.main_cost and limit.startswith(view.main_cost.key)]
    both = [", ".join([*main, *wanted])] if main and wanted else []
    return [*both, *wanted, *limits][:4]


def _round(value: float, up: bool) -> str:
    """Return a number of two significant digits that is not below, or not above, a value.

    Example:
        >>> _round(0.8873, False), _round(41.2, True), _round(0.0, True)
        ('0.88', '42', '0')
    """
    if value == 0:
        return "0"
    decimals = 1 - math.floor(math.log10(abs(value)))
    steps = (math.ceil if up else math.floor)(round(value * 10.0**decimals, 6))
    return f"{steps * 10.0**-decimals:.{max(0, decimals)}f}"
