"""The report: one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Optional, Union
from xml.etree import ElementTree

from monai_hyperscale import __version__
from monai_hyperscale.io.atomic import write_text
from monai_hyperscale.report.confirm import cases_text, confirm_facts, confirm_sentence, texts_there, values_there
from monai_hyperscale.report.controls import budget_box, dial, folded_text
from monai_hyperscale.report.curves import chart_legend, charts
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.gallery import check_examples, gallery
from monai_hyperscale.report.markup import Child, as_html, data_block, element
from monai_hyperscale.report.provenance import provenance
from monai_hyperscale.report.stages import stage_bars, stage_facts
from monai_hyperscale.report.summary import comparison, summary
from monai_hyperscale.report.tables import bar_facts, bars_end, label_bars, row_table
from monai_hyperscale.report.view import View, capital
from monai_hyperscale.search.budget import metric_key
from monai_hyperscale.search.confirmation import confirmation
from monai_hyperscale.search.memory import WORKING_MEMORY
from monai_hyperscale.search.results import Frontier

__all__ = ["write_report"]


def write_report(
    frontier: Frontier,
    path: Union[str, Path],
    examples: Sequence[Example] = (),
    confirm: Optional[Frontier] = None,
) -> None:
    """Write a frontier as one HTML page, which opens from disk and asks no network for anything.

    Whoever chooses by the scores of some cases learns from other cases what the choice is worth. Give a frontier of
    validation cases, and one of test cases as ``confirm``: curves, dial and budgets work on the first, and what every
    φ scores on the second stands beside it.

    Args:
        frontier: as ``read_frontier`` gives it.
        path: of the page; written whole or not at all.
        examples: cases to show with what the network makes of them at several φ.
        confirm: frontier of the same network and score on other cases. φ that are not in it are shown as not measured.

    Raises:
        FrontierError: if ``confirm`` is of other weights, another score or other labels, or has none of the φ.
        ImageError: if an example is of another task than the frontier.
        OSError: if the page cannot be written.
    """
    found = None if confirm is None else confirmation(frontier, confirm)
    if found is not None:
        found.check_common_phi()
    view = View(frontier, found)
    check_examples(view, examples)
    title = f"{frontier.bundle.get('name', 'network')} on {frontier.data.get('name', 'data')}"
    style, script = (_resource(*names) for names in (("report.css",), ("budget.js", "report.js")))
    page = Template(_resource("template.html")).substitute(
        policy=_policy(style, script),
        generator=f"monai-hyperscale {__version__}",
        title=html.escape(title),
        style=style,
        script=script,
        body=as_html(*_body(view, title, examples)),
        data=data_block("frontier", _data(view)),
    )
    # JSON can hold halves of a surrogate pair, which UTF-8 cannot.
    write_text(Path(path), page.encode("utf-8", "replace").decode("utf-8"))


def _resource(*names: str) -> str:
    folder = files("monai_hyperscale.report")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    """Return the policy under which the page runs its own script and style, shows its own pictures, and no more."""

    def allowed(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {allowed(script)}",
            f"style-src {allowed(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _data(view: View) -> dict[str, Any]:
    """Return what the script works with: rows as in the file, and every number as the text that stands for it."""
    rows = []
    for n, row in enumerate(view.rows):
        changes = comparison(view, n)
        texts = {"phi": view.phi_name(row.phi), "score": view.score_text(row.score.mean)}
        texts["score-interval"] = view.interval_text(row)
        texts |= texts_there(view, n)
        texts |= {cost.key: cost.text(row) for cost in view.costs}
        texts |= {f"{key}-change": text for key, text in changes.items()}
        if view.registration:
            texts["folded"] = folded_text(row.folded)
        rows.append(
            {
                "name": view.phi_name(row.phi),
                "phi": list(row.phi),
                "texts": texts,
                "values": {"score": row.score.mean} | {cost.key: row.cost(cost.key) for cost in view.costs},
                "there": values_there(view, n),
                "labels": bar_facts(view, n),
                "stages": stage_facts(view, n),
            }
        )
    return {
        "metric": view.metric,
        "alias": metric_key(view.frontier),
        "higher": view.higher_is_better,
        "share": view.is_share,
        "costs": [{"key": c.key, "word": c.word, "unit": c.unit, "scale": c.scale} for c in view.costs],
        "bars": bars_end(view),
        "main": view.main_cost.key if view.main_cost else None,
        "first": view.chosen,
        "confirm": confirm_facts(view),
        "rows": rows,
    }


def _body(view: View, title: str, examples: Sequence[Example]) -> list[ElementTree.Element]:
    pairs, task = ("pairs" if view.registration else "cases"), view.frontier.task
    cases = view.frontier.data.get("cases") or []
    part = view.frontier.data.get("part")
    measured_on = f"{len(cases)} {pairs}" + (f", the {part} part" if part and part != "all" else "")
    if view.confirm is not None:
        measured_on += f" · confirmed on {cases_text(view, view.confirm.other)}"
    sentences = " ".join(filter(None, (summary(view), confirm_sentence(view))))
    header = element(
        "header",
        element("p", f"{task.capitalize()} · {len(view.rows)} values of φ · {measured_on}", class_="kicker"),
        element("h1", title),
        element("p", sentences, class_="summary"),
    )
    bars, stages = label_bars(view), stage_bars(view)
    shown = gallery(view, examples)
    main = element(
        "main",
        _charts(view),
        element(
            "div",
            budget_box(view),
            _section(f"{capital(view.metric)} per label", _bars_hint(view), bars) if bars is not None else None,
            class_="pair",
        ),
        _section("From file to file", _stages_hint(view), stages) if stages is not None else None,
        element("section", element("h2", "Examples"), _labels_switch(view), shown, class_="gallery") if shown else None,
        _section(
            "All rows",
            element("p", "Sort by any column; a click on a row takes the dial there.", class_="quiet"),
            row_table(view),
        ),
        _section("Where the numbers come from", provenance(view)),
    )
    footer = element(
        "footer",
        element(
            "p", f"Written by monai-hyperscale {__version__}. Research software, not a medical device.", class_="quiet"
        ),
    )
    wrapped = (element("div", part, class_="wrap") for part in (header, footer))
    return [next(wrapped), dial(view), main, next(wrapped)]


def _charts(view: View) -> Child:
    drawn = charts(view)
    if not drawn:
        return None
    # Rows far from the best leave little height for the others, so that these are drawn by themselves too.
    zoomed: Child = None
    switch: Child = None
    if 3 <= len(view.near_best) < len(view.rows):
        zoomed = element("div", charts(view, view.near_best), class_="charts", id="charts-near", hidden=True)
        box = element("input", type="checkbox", id="zoom")
        switch = element("label", box, f"Only the {len(view.near_best)} rows near the best score", class_="toggle")
    every = element("div", drawn, class_="charts", id="charts-all")
    return _section("What each φ costs", _hint(view), switch, every, zoomed, chart_legend(view))


def _section(title: str, *children: Child) -> ElementTree.Element:
    return element("section", element("h2", title), children)


def _hint(view: View) -> ElementTree.Element:
    text = "Move the dial, or touch a chart." if view.single else "Move the dial through the rows, or touch a chart."
    text = f"Upper left is best. {text}" if view.higher_is_better else f"Lower left is best. {text}"
    if any(cost.key == "memory" for cost in view.costs):
        text += f" {capital(WORKING_MEMORY)}."
    return element("p", text, class_="quiet")


def _bars_hint(view: View) -> ElementTree.Element:
    other = view.phi_name(view.rows[view.reference].phi)
    text = f"At the φ of the dial, with the 95 % interval; the upright line is {other}."
    return element("p", text, class_="quiet")


def _stages_hint(view: View) -> ElementTree.Element:
    case = (view.frontier.data.get("cases") or ["one case"])[0]
    text = f"What a user waits for at the φ of the dial, once, with {case}; the program's start is not in it."
    return element("p", text, class_="quiet")


def _labels_switch(view: View) -> Child:
    if view.registration:
        return None
    box = element("input", type="checkbox", id="show-labels", checked=True)
    return element("label", box, "Show labels", class_="toggle")
