"""The report: one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any, Optional, Union

from monai_hyperscale import __version__
from monai_hyperscale.io.atomic import write_text
from monai_hyperscale.report.confirm import cases_text, confirm_facts, confirm_sentence, texts_there, values_there
from monai_hyperscale.report.controls import budget_box, dial_readings
from monai_hyperscale.report.curves import chart_legend, charts
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.gallery import check_examples, gallery
from monai_hyperscale.report.provenance import provenance
from monai_hyperscale.report.rendering import render
from monai_hyperscale.report.stages import stage_facts, stage_names
from monai_hyperscale.report.summary import comparison, summary
from monai_hyperscale.report.tables import bar_facts, bar_heads, bars_end, label_bars, row_table
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
    style, script = (_resource(*names) for names in (("report.css",), ("budget.js", "report.js")))
    page = render(
        "page.html.j2",
        policy=_policy(style, script),
        version=__version__,
        style=style,
        script=script,
        data=_data(view),
        **_content(view, examples),
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
        texts |= {column.name: view.column_text(column, row) for column in view.task.columns}
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


def _content(view: View, examples: Sequence[Example]) -> dict[str, Any]:
    """Return what the template shows."""
    bundle, data = view.frontier.bundle, view.frontier.data
    drawn, heads, shown = charts(view), row_table(view), gallery(view, examples)
    # Rows far from the best leave little height for the others, so that these are drawn by themselves too.
    zoomed = bool(drawn) and 3 <= len(view.near_best) < len(view.rows)
    return {
        "view": view,
        "title": f"{bundle.get('name', 'network')} on {data.get('name', 'data')}",
        "kicker": f"{view.frontier.task.capitalize()} · {len(view.rows)} values of φ · {_measured_on(view)}",
        "summary": " ".join(filter(None, (summary(view), confirm_sentence(view)))),
        "metric": capital(view.metric),
        "phi_name": view.phi_name(view.rows[view.chosen].phi),
        "readings": dial_readings(view),
        "charts": drawn,
        "near": charts(view, view.near_best) if zoomed else [],
        "hint": _hint(view),
        "legend": chart_legend(view),
        "budget": budget_box(view),
        "bars": label_bars(view),
        "bar_heads": bar_heads(view),
        "reference": view.phi_name(view.rows[view.reference].phi),
        "stages": list(zip_longest(stage_names(view), stage_facts(view, view.chosen))),
        "first_case": (data.get("cases") or ["one case"])[0],
        "gallery": shown,
        "overlays": any(card.has_overlay for example in shown for card in example["cards"]),
        "heads": heads[0],
        "lines": heads[1],
        "provenance": provenance(view),
    }


def _measured_on(view: View) -> str:
    cases, part = view.frontier.data.get("cases") or [], view.frontier.data.get("part")
    text = f"{len(cases)} {view.task.case_noun}s"
    text += f", the {part} part" if part and part != "all" else ""
    return text if view.confirm is None else f"{text} · confirmed on {cases_text(view, view.confirm.other)}"


def _hint(view: View) -> str:
    text = "Move the dial, or touch a chart." if view.single else "Move the dial through the rows, or touch a chart."
    text = f"Upper left is best. {text}" if view.higher_is_better else f"Lower left is best. {text}"
    if any(cost.key == "memory" for cost in view.costs):
        text += f" {capital(WORKING_MEMORY)}."
    return text
