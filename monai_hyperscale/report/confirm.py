"""What the φ of a frontier score on the cases of another, which a choice is confirmed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from monai_hyperscale.report.view import Point, View
from monai_hyperscale.search.results import Frontier

__all__ = ["cases_text", "confirm_facts", "confirm_sentence", "points_there", "texts_there", "values_there"]

NOT_MEASURED = "not measured there"


def cases_text(view: View, frontier: Frontier) -> str:
    """Return the cases of a frontier by number and part, and by data set where that is not the one of the page.

    Returns:
        text such as ``40 test cases``, ``1 validation pair`` or ``all 40 cases of liver``; ``40 other test cases``
        where those of the page's own frontier would be called the same.
    """
    count, part, data = len(frontier.data["cases"]), frontier.data["part"], frontier.data["name"]
    found, own = view.confirm, view.frontier.data
    if (
        found is not None
        and frontier is found.other
        and not found.shared
        and (data, part) == (own["name"], own["part"])
    ):
        part = f"other {part}" if part != "all" else "other"
    noun = view.task.case_noun + "s" * (count != 1)
    text = f"all {count} {noun}" if part == "all" else f"{count} {part} {noun}"
    return text if data == own["name"] else f"{text} of {data}"


def texts_there(view: View, position: int) -> dict[str, str]:
    """Return the score of a row on the other cases, and its interval or why there is none, as the dial shows them."""
    if view.confirm is None:
        return {}
    row = view.confirm.other.row(view.rows[position].phi)
    if row is None:
        return {"there": "–", "there-interval": NOT_MEASURED}
    return {"there": view.score_text(row.score.mean), "there-interval": view.interval_text(row)}


def values_there(view: View, position: int) -> Optional[dict[str, Optional[float]]]:
    """Return what the script holds against the limits on the score; ``None`` where a row was not measured there."""
    row = None if view.confirm is None else view.confirm.other.row(view.rows[position].phi)
    return None if row is None else {"score": row.score.mean}


def confirm_facts(view: View) -> Optional[dict[str, Any]]:
    """Return what the script says of the other cases: their name, and what is said of a φ that was not measured."""
    if view.confirm is None:
        return None
    return {"cases": cases_text(view, view.confirm.other), "missing": NOT_MEASURED}


def confirm_sentence(view: View) -> Optional[str]:
    """Return what the row that is shown first scores on the other cases, and what the reference does there."""
    if view.confirm is None:
        return None
    chosen, reference = (view.rows[n] for n in (view.chosen, view.reference))
    row, other = (view.confirm.other.row(one.phi) for one in (chosen, reference))
    where, name = cases_text(view, view.confirm.other), view.phi_name(chosen.phi)
    if row is None:
        return f"On {where}, {name} was {NOT_MEASURED.removesuffix(' there')}."
    text = f"On {where}, {name} has a {view.metric} of {view.score_text(row.score.mean)}"
    if other is None or other is row or other.score.mean is None:
        return f"{text}."
    return f"{text}, {view.phi_name(reference.phi)} one of {view.score_text(other.score.mean)}."


def points_there(view: View, points: Sequence[Point]) -> list[Point]:
    """Return the points of a curve with the scores on the other cases, at the costs of the page's own frontier.

    Costs are those of one image, which the other frontier may have measured on a larger one or another machine. Of
    several factors there is no curve, and nothing is returned.
    """
    if view.confirm is None or not view.single:
        return []
    found = []
    for point in points:
        row = view.confirm.other.row(view.rows[point.position].phi)
        if row is not None and row.score.mean is not None:
            found.append(Point(point.position, point.cost, row.score.mean, row.score.mean, row.score.mean))
    return found
