"""The labels' bars and the table of all rows."""

from __future__ import annotations

from typing import Any, Optional
from xml.etree import ElementTree

from monai_hyperscale.report.confirm import cases_text
from monai_hyperscale.report.markup import Child, element
from monai_hyperscale.report.view import View, capital, significant
from monai_hyperscale.search.results import FrontierRow, Interval

__all__ = ["bar_facts", "bars_end", "label_bars", "row_table"]


def bars_end(view: View) -> float:
    """Return the score at which the bars' troughs end: 1 for a share, else the largest of any label."""
    if view.is_share:
        return 1.0
    means = [_mean(row, value) for row in view.rows for value in view.labels]
    return max((abs(mean) for mean in means if mean is not None), default=1.0) or 1.0


def bar_facts(view: View, position: int) -> list[list[Any]]:
    """Return what the script needs of every label in a row: mean, interval, both as text, and the change."""
    facts = []
    for value in view.labels:
        score = view.rows[position].labels.get(value)
        mean = _mean(view.rows[position], value)
        other = _mean(view.rows[view.reference], value)
        change = "" if position == view.reference else view.score_change(mean, other)
        interval = [None, None] if score is None else [score.low, score.high]
        facts.append([mean, *interval, view.score_text(mean), change.removesuffix(" points")])
    return facts


def label_bars(view: View) -> Optional[ElementTree.Element]:
    """Return one bar for every label, at the φ that is shown first; ``None`` where there are no labels."""
    if not view.labels:
        return None
    end, first = bars_end(view), bar_facts(view, view.chosen)
    reference = view.rows[view.reference]
    lines = []
    volumes: dict[str, float] = view.frontier.data.get("mean_volumes") or {}
    # As in SSHN's Figure 4 the largest first.
    by_volume = sorted(enumerate(view.labels.items()), key=lambda entry: -volumes.get(entry[1][0], 0.0))
    for number, (value, name) in by_volume:
        mean, low, high, text, change = first[number]
        mark = _mean(reference, value)
        drawn = element(
            "svg",
            element("rect", x=0, y=4, width=100, height=14, class_="trough"),
            element("rect", x=0, y=4, width=_place(mean, end), height=14, class_="bar"),
            _upright("mark", mark, end),
            element(
                "line",
                x1=_place(low, end),
                x2=_place(high, end),
                y1=11,
                y2=11,
                class_="interval",
                visibility="hidden" if low is None else "visible",
            ),
            viewBox="0 0 100 22",
            preserveAspectRatio="none",
            aria_hidden="true",
        )
        lines.append(
            element(
                "tr",
                element("th", name, _volume(view, volumes.get(value)), scope="row"),
                element("td", drawn, class_="extent"),
                element("td", text, class_="number value"),
                element("td", change, class_="number change"),
                data_label=number,
            )
        )
    against = view.phi_name(reference.phi)
    unit = ", points" if view.is_share else ""
    head = element(
        "tr",
        element("th", "Label", scope="col"),
        element("th", f"0 to {significant(end)}" if not view.is_share else "0 to 1", scope="col"),
        element("th", view.metric, scope="col", class_="number"),
        element("th", f"against {against}{unit}", scope="col", class_="number"),
    )
    return element("table", element("thead", head), element("tbody", lines), class_="bars")


def _volume(view: View, volume: Optional[float]) -> Child:
    # Of 2D images it is an area, in pixels or mm²: good for the order alone.
    if volume is None or view.frontier.bundle["settings"].get("spatial_dims") != 3:
        return None
    return (" ", element("small", f"{volume:,.0f} mm³"))


def row_table(view: View) -> ElementTree.Element:
    """Return the table of all rows, which the script sorts."""
    several = len(view.labels) > 1
    heads: list[tuple[str, str]] = [("φ", ""), (capital(view.metric), ""), ("95 % interval", "")]
    if view.confirm is not None:
        heads += [(f"{capital(view.metric)}, {cases_text(view, view.confirm.other)}", ""), ("95 % interval there", "")]
    heads += [(name, "") for name in view.labels.values()] if several else []
    for cost in view.costs:
        heads += [(f"{cost.title} ({cost.unit})", "")] + [("Quartiles", "")] * (cost.key == "latency")
    # The same for every φ where weights are generated for one shape; then they stand with the network.
    parameters = len({row.parameters for row in view.rows}) > 1
    heads += [("Parameters", "")] if parameters else []
    heads += [("Before", ""), ("Folded (%)", "")] if view.registration else []
    heads += [("Pareto for", "words")] if view.costs else []
    fronts = {cost.word: set(view.pareto(cost.key)) for cost in view.costs}
    lines = []
    for n, row in enumerate(view.rows):
        score = row.score
        cells = [_cell(view.phi_text(row.phi), n, "th")]
        cells.append(_cell(view.score_text(score.mean), score.mean))
        cells.append(_cell(_range(view.score_text(score.low), view.score_text(score.high)), score.low))
        if view.confirm is not None:
            there = view.confirm.other.row(row.phi)
            found = Interval(None, None, None) if there is None else there.score
            cells.append(_cell("not measured" if there is None else view.score_text(found.mean), found.mean))
            cells.append(_cell(_range(view.score_text(found.low), view.score_text(found.high)), found.low))
        if several:
            means = [_mean(row, value) for value in view.labels]
            cells += [_cell(view.score_text(mean), mean) for mean in means]
        for cost in view.costs:
            cells.append(_cell(cost.text(row), cost.of(row)))
            if cost.key == "latency":
                spread = row.latency
                ends = ["–"] * 2 if spread is None else [significant(v / cost.scale) for v in (spread.low, spread.high)]
                cells.append(_cell(_range(*ends), None if spread is None else spread.low))
        if parameters:
            cells.append(_cell("–" if row.parameters is None else f"{row.parameters:,}", row.parameters))
        if view.registration:
            before = None if row.before is None else row.before.mean
            cells.append(_cell(view.score_text(before), before))
            folded = None if row.folded is None else 100 * row.folded
            cells.append(_cell("–" if folded is None else significant(folded, 2), folded))
        if view.costs:
            names = [word for word, front in fronts.items() if n in front]
            cells.append(_cell(", ".join(names), len(names), kind="words"))
        lines.append(element("tr", cells, data_row=n, aria_current="true" if n == view.chosen else None))
    table = element(
        "table",
        element(
            "thead", element("tr", [_head(text, kind, n == 0 and view.single) for n, (text, kind) in enumerate(heads)])
        ),
        element("tbody", lines),
        class_="sortable",
    )
    return element("div", table, class_="table-box", tabindex=0, role="region", aria_label="All rows of the frontier")


def _head(text: str, kind: str, sorted_by: bool) -> ElementTree.Element:
    return element(
        "th",
        element("button", text, type="button"),
        scope="col",
        class_=kind or None,
        aria_sort="ascending" if sorted_by else None,
    )


def _cell(text: Child, value: Optional[float], name: str = "td", kind: Optional[str] = None) -> ElementTree.Element:
    data = None if value is None else repr(float(value))
    return element(name, text, data_value=data, scope="row" if name == "th" else None, class_=kind)


def _range(low: str, high: str) -> str:
    return f"{low} – {high}" if low != "–" else "–"


def _upright(kind: str, value: Optional[float], end: float) -> Optional[ElementTree.Element]:
    if value is None:
        return None
    return element("line", x1=_place(value, end), x2=_place(value, end), y1=0, y2=22, class_=kind)


def _place(value: Optional[float], end: float) -> str:
    return f"{100 * min(1.0, max(0.0, (value or 0.0) / end)):.3f}"


def _mean(row: FrontierRow, value: str) -> Optional[float]:
    score = row.labels.get(value)
    return None if score is None else score.mean
