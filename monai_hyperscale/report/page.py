"""The report: one HTML page that needs nothing else, from Jinja2 templates that escape what comes from files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any, Optional, Union

from jinja2 import Environment, PackageLoader, StrictUndefined

from monai_hyperscale import __version__
from monai_hyperscale.io.files import write_text
from monai_hyperscale.report import wording
from monai_hyperscale.report.curves import chart_legend, charts
from monai_hyperscale.report.examples import Example, check_examples, gallery
from monai_hyperscale.report.tables import bar_facts, bars_end, label_bars, row_table, stage_facts, stage_names
from monai_hyperscale.report.view import View, capital
from monai_hyperscale.report.wording import provenance
from monai_hyperscale.search.budget import confirmation, metric_key
from monai_hyperscale.search.results import Frontier


def write_report(
    frontier: Frontier, path: Union[str, Path], examples: Sequence[Example] = (), confirm: Optional[Frontier] = None
) -> None:
    """Write a frontier as one HTML page, which opens from disk and asks no network for anything.

    Args:
        frontier: as ``read_frontier`` gives it.
        path: of the page; written whole or not at all.
        examples: cases to show with what the network makes of them at several φ.
        confirm: frontier of the same network and score on other cases: what every φ scores there stands beside it.

    Raises:
        FrontierError: if ``confirm`` is of other weights, another score or other labels, or has none of the φ.
        ImageError: if an example is of another task than the frontier.
    """
    found = None if confirm is None else confirmation(frontier, confirm)
    if found is not None:
        found.check_common_phi()
    view = View(frontier, found)
    check_examples(view, examples)
    page = _environment().get_template("page.html.j2").render(_content(view, examples))
    # JSON can hold halves of a surrogate pair, which UTF-8 cannot.
    write_text(Path(path), page.encode("utf-8", "replace").decode("utf-8"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("monai_hyperscale.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["px"] = lambda value: f"{value:.1f}".removesuffix(".0")
    environment.filters["place"] = lambda value, end: f"{100 * min(1.0, max(0.0, (value or 0.0) / end)):.3f}"
    # Of the filter tojson, whose output nothing can break out of either.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _resource(*names: str) -> str:
    folder = files("monai_hyperscale.report")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    """Return the policy under which the page runs its own script and style, shows its own pictures, and no more."""
    script, style = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )


def _data(view: View) -> dict[str, Any]:
    """Return what the script works with: rows as in the file, and every number as the text that stands for it."""
    rows = []
    for n, row in enumerate(view.rows):
        there = view.there(n)
        rows.append(
            {
                "name": view.phi_name(row.phi),
                "phi": list(row.phi),
                "texts": wording.row_texts(view, n),
                "values": {"score": row.score.mean} | {cost.key: row.cost(cost.key) for cost in view.costs},
                "there": None if there is None else {"score": there.score.mean},
                "labels": bar_facts(view, n),
                "stages": stage_facts(view, n),
            }
        )
    other = None if view.confirm is None else wording.cases_text(view, view.confirm.other)
    return {
        "metric": view.metric,
        "alias": metric_key(view.frontier),
        "higher": view.higher_is_better,
        "share": view.is_share,
        "costs": [{"key": c.key, "word": c.word, "unit": c.unit, "scale": c.scale} for c in view.costs],
        "bars": bars_end(view),
        "main": view.main_cost.key if view.main_cost else None,
        "first": view.chosen,
        "confirm": None if other is None else {"cases": other, "missing": wording.NOT_MEASURED},
        "rows": rows,
    }


def _content(view: View, examples: Sequence[Example]) -> dict[str, Any]:
    style, script = _resource("report.css"), _resource("budget.js", "report.js")
    bar_heads, bars = label_bars(view)
    heads, lines = row_table(view)
    shown = gallery(view, examples)
    return {
        "policy": _policy(style, script),
        "version": __version__,
        "style": style,
        "script": script,
        "data": _data(view),
        "view": view,
        "title": f"{view.frontier.bundle['name']} on {view.frontier.data['name']}",
        "kicker": wording.kicker(view),
        "summary": wording.summary(view),
        "metric": capital(view.metric),
        "texts": wording.row_texts(view, view.chosen),
        "readings": wording.readings(view),
        "charts": charts(view),
        "hint": wording.hint(view),
        "legend": chart_legend(view),
        "budget": wording.budget_box(view),
        "bar_heads": bar_heads,
        "bars": bars,
        "bars_end": bars_end(view),
        "reference": view.phi_name(view.rows[view.reference].phi),
        "stages": list(zip_longest(stage_names(view), stage_facts(view, view.chosen))),
        "first_case": next(iter(view.frontier.data["cases"]), "one case"),
        "gallery": shown,
        "overlays": any(card.has_overlay for example in shown for card in example["cards"]),
        "heads": heads,
        "lines": lines,
        "provenance": provenance(view),
    }
