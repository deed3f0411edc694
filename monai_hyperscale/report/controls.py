"""What the user moves and fills in: the dial and the budget."""

from __future__ import annotations

import math
import re
from typing import Optional
from xml.etree import ElementTree

from monai_hyperscale.report.confirm import cases_text, texts_there
from monai_hyperscale.report.markup import element
from monai_hyperscale.report.summary import comparison
from monai_hyperscale.report.view import View, capital, significant
from monai_hyperscale.search.confirmation import unconfirmed

__all__ = ["budget_box", "dial", "folded_text"]


def dial(view: View) -> ElementTree.Element:
    """Return the slider over the rows and the numbers of the row that it is at."""
    row = view.rows[view.chosen]
    changes = comparison(view, view.chosen)
    title = capital(view.metric)
    interval = ("score-interval", view.interval_text(row))
    there = texts_there(view, view.chosen)
    if view.confirm is None:
        readings = [_reading(title, "score", view.score_text(row.score.mean), "", interval)]
    else:
        here, other = (f"{title}, {cases_text(view, each)}" for each in (view.frontier, view.confirm.other))
        readings = [
            _reading(here, "score", view.score_text(row.score.mean), "", interval),
            _reading(other, "there", there["there"], "", ("there-interval", there["there-interval"])),
        ]
    readings += [
        _reading(cost.title, cost.key, cost.text(row), cost.unit, (f"{cost.key}-change", changes.get(cost.key, "")))
        for cost in view.costs
    ]
    if view.registration:
        readings.append(_reading("Folded", "folded", folded_text(row.folded), "%", None))
    slider = element(
        "input",
        type="range",
        id="phi",
        min=0,
        max=len(view.rows) - 1,
        step=1,
        value=view.chosen,
        aria_valuetext=view.phi_name(row.phi),
    )
    label = element(
        "label",
        element("span", "Rescaling factor" if view.single else "Rescaling factors"),
        element("output", view.phi_name(row.phi), data_field="phi", for_="phi"),
        for_="phi",
    )
    inner = element(
        "div",
        element("div", label, slider),
        element("dl", readings, class_="readings" + " two" * (view.confirm is not None)),
        class_="dial-inner",
    )
    return element("div", inner, class_="dial", role="region", aria_label="Dial")


def _reading(title: str, field: str, text: str, unit: str, aside: Optional[tuple[str, str]]) -> ElementTree.Element:
    number = element("span", text, data_field=field)
    small = (" ", element("small", unit)) if unit else None
    below = element("dd", aside[1], class_="aside", data_field=aside[0]) if aside else None
    return element("div", element("dt", title), element("dd", number, small), below)


def folded_text(share: Optional[float]) -> str:
    """Return the share of folded voxels in per cent."""
    return "–" if share is None else significant(100 * share, 2)


def budget_box(view: View) -> ElementTree.Element:
    """Return the box that takes a budget, with some to begin with, and where its answer goes."""
    suggestions = _suggestions(view)
    hint = "Limits, with commas between them; answered from the rows of this page"
    warning = None
    if view.confirm is None:
        hint += "."
        note = unconfirmed(view.frontier)
        warning = element("p", f"{capital(note)}.", class_="quiet", id="unconfirmed") if note else None
    else:
        here, there = (cases_text(view, each) for each in (view.frontier, view.confirm.other))
        hint += f": chosen on {here}, confirmed on {there}."
        warning = element("p", f"Warning: {view.confirm.warning}", class_="warning") if view.confirm.warning else None
    return element(
        "section",
        element("h2", "Choose by budget"),
        element("p", hint, class_="quiet", id="budget-hint"),
        warning,
        element("label", "Your budget", for_="budget"),
        element(
            "input",
            type="text",
            id="budget",
            placeholder=suggestions[0] if suggestions else None,
            aria_describedby="budget-hint",
            autocomplete="off",
            autocapitalize="off",
            spellcheck="false",
        ),
        element("div", [element("button", text, type="button") for text in suggestions], class_="chips"),
        element("output", class_="answer", id="answer", for_="budget", aria_live="polite"),
        class_="budget",
    )


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
