"""What a frontier says, in a sentence."""

from __future__ import annotations

from typing import Optional

from monai_hyperscale.report.view import View

__all__ = ["comparison", "summary"]


def summary(view: View) -> str:
    """Return one sentence: what the row that is shown first saves against the largest φ, and what it loses."""
    cost, chosen, reference = view.main_cost, view.rows[view.chosen], view.rows[view.reference]
    name, other = (view.phi_name(row.phi) for row in (chosen, reference))
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
        return f"What {name[0].lower()}{name[1:]} saves of {cost.word} against {other} is not known."
    amount = f"{abs(share):.0f} % {'less' if share >= 0 else 'more'} {cost.word}"
    change = view.score_change(chosen.score.mean, reference.score.mean)
    return f"{name} costs {amount} than {other} {_for_what(view, change)}."


def comparison(view: View, position: int) -> dict[str, str]:
    """Return what differs between a row and the largest φ, for every number of the dial."""
    row, reference = view.rows[position], view.rows[view.reference]
    if position == view.reference:
        return {}
    texts = {"score": view.score_change(row.score.mean, reference.score.mean)}
    for cost in view.costs:
        share = _saved(cost.of(row), cost.of(reference))
        if share is not None:
            texts[cost.key] = f"{_signed(share)} against {view.phi_name(reference.phi)}"
    return texts


def _signed(saved: float) -> str:
    size = f"{abs(saved):.0f}"
    return f"{'±' if size == '0' else '−' if saved > 0 else '+'}{size} %"


def _saved(value: object, reference: object) -> Optional[float]:
    """Return the share in percent; ``None`` where one of the two was not measured."""
    if not isinstance(value, (int, float)) or not isinstance(reference, (int, float)) or reference == 0:
        return None
    return 100 * (1 - value / reference)


def _for_what(view: View, size: str) -> str:
    if size.startswith("±"):
        return f"for the same {view.metric}"
    figure, sign = size[1:].removesuffix(" points"), size[0]
    points = ("point" if figure == "1.0" else "points") + " of " if view.is_share else ""
    better = (sign == "+") == view.higher_is_better
    if better:
        return f"and is {figure} {points}{view.metric} better"
    return f"for {figure} {points}{view.metric}" + ("" if view.is_share else " more" if sign == "+" else " less")
