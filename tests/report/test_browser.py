"""The page in a real browser: dial, budget, table, and that it asks no network and fits narrow screens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.report import Example, write_report
from monai_hyperscale.search.budget import choose, default_objective, measured_costs, metric_key, read_limits
from monai_hyperscale.search.results import Frontier
from tests.report.conftest import Browser
from tests.report.made_up import (
    of_other_cases,
    registration_results,
    segmentation_results,
    vector_results,
    without_cost,
    without_labels,
)

Read = Callable[[dict[str, Any]], Frontier]

HOSTILE = (
    "</script></style><img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>'\"&amp;"
)


def numbers(phi: float, pages: Frontier) -> dict[str, str]:
    """Return what the page must show of a φ, in figures made here."""
    row = next(row for row in pages.rows if row.phi == (phi,))
    assert row.flops and row.latency and row.memory and row.score.mean
    return {
        "phi": f"φ = {phi:g}",
        "score": f"{row.score.mean:.4f}",
        "score-interval": f"{row.score.low:.4f} – {row.score.high:.4f}",
        "flops": f"{row.flops / 1e9:.2f}",
        "latency": f"{row.latency.median * 1e3:.1f}",
        "memory": f"{row.memory / 1e6:.1f}" if row.memory < 1e8 else f"{row.memory / 1e6:.0f}",
    }


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return segmentation_results()


@pytest.fixture
def frontier(results: dict[str, Any], as_frontier: Read) -> Frontier:
    return as_frontier(results)


def example(name: str, registration: bool = False) -> Example:
    rng = np.random.default_rng(0)
    image = rng.random((30, 40, 10))
    phis = [(phi,) for phi in (0.0, 0.1, 0.2, 0.3, 0.5)]
    if registration:
        return Example(
            name, {"moving": image, "fixed": image[::-1]}, {phi: rng.normal(0, 1, (3, *image.shape)) for phi in phis}
        )
    label = np.zeros(image.shape, int)
    label[8:20, 10:30, 3:8] = 1
    label[12:20, 10:20, 3:8] = 2
    return Example(name, {"image": image, "label": label}, {phi: np.roll(label, 1, 0) for phi in phis})


@pytest.fixture
def page(frontier: Frontier, tmp_path: Path) -> Path:
    write_report(frontier, tmp_path / "report.html", [example("hippocampus_017")])
    return tmp_path / "report.html"


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


@pytest.mark.parametrize("phi", [0.0, 0.27, 0.5])
def test_dial_shows_the_numbers_of_its_row(opened: Browser, frontier: Frontier, phi: float) -> None:
    opened.enter("#phi", [row.phi for row in frontier.rows].index((phi,)))
    shown = opened.run(
        "return Object.fromEntries([...document.querySelectorAll('[data-field]')]"
        ".map((field) => [field.dataset.field, field.innerText]))"
    )
    assert shown | numbers(phi, frontier) == shown
    assert opened.find("#phi").get_attribute("aria-valuetext") == f"φ = {phi:g}"
    line = opened.find("tbody tr[aria-current]")
    assert line.find_element("css selector", "th").text == f"{phi:g}"
    row = next(row for row in frontier.rows if row.phi == (phi,))
    for value, score in row.labels.items():
        number = list(frontier.labels).index(value)
        assert opened.text(f"[data-label='{number}'] .value") == f"{score.mean:.4f}"
        width = opened.find(f"[data-label='{number}'] .bar").get_attribute("width")
        assert float(width) == pytest.approx(100 * score.mean, abs=1e-3)


def test_dial_moves_the_marker_along_all_curves(opened: Browser, frontier: Frontier) -> None:
    for cost in ("flops", "latency", "memory"):
        chart = f"#charts-all svg[data-cost='{cost}']"
        low, high, start, end = map(float, opened.find(chart).get_attribute("data-x").split())
        for row in (3, 44):
            opened.enter("#phi", row)
            value = frontier.rows[row].cost(cost)
            place = start + (end - start) * (value - low) / (high - low)
            assert float(opened.find(f"{chart} .cursor circle").get_attribute("cx")) == pytest.approx(place, abs=0.06)


def test_dial_moves_the_stages_from_file_to_file(opened: Browser, frontier: Frontier) -> None:
    longest = max(seconds for row in frontier.rows for seconds in row.stages.values())
    for place in (0, 50):
        opened.enter("#phi", place)
        stages = frontier.rows[place].stages
        whole = sum(stages.values())
        lines = opened.run(
            "return [...document.querySelectorAll('.stages [data-stage]')].map((line) => line.innerText)"
        )
        assert [line.split()[0] for line in lines] == [*stages, "In"]
        for number, (name, seconds) in enumerate(stages.items()):
            width = opened.find(f"[data-stage='{number}'] .bar").get_attribute("width")
            assert float(width) == pytest.approx(100 * seconds / longest, abs=1e-2)
            assert lines[number].split()[-2:] == [f"{100 * seconds / whole:.0f}", "%"], name
        outside = 100 * (1 - stages["network"] / whole)
        shown, *share = lines[-1].split()[-3:]
        assert float(shown) == pytest.approx(whole, rel=0.05) and share == [f"{outside:.0f}", "%"]


def test_keyboard_and_charts_move_the_dial(opened: Browser) -> None:
    before = int(opened.find("#phi").get_attribute("value"))
    opened.find("#phi").send_keys("\ue014")  # arrow right
    assert int(opened.find("#phi").get_attribute("value")) == before + 1
    assert opened.text("[data-field='phi']") == f"φ = {(before + 1) / 100:g}"
    opened.run(
        """const point = document.querySelector('#charts-all svg[data-cost=memory] [data-row="7"]');
        const box = point.getBoundingClientRect();
        const at = {clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true};
        point.dispatchEvent(new PointerEvent('pointerdown', at))"""
    )
    assert opened.text("[data-field='phi']") == "φ = 0.07"
    nearest = [card.get_attribute("data-phi") for card in opened.all(".card.near")]
    assert nearest == ["0.1"]


def test_budget_is_answered_as_one_types(opened: Browser, frontier: Frontier) -> None:
    rows = frontier.rows
    opened.find("#budget").send_keys("latency <= 40ms, dice >= 0.88")
    met = [row for row in rows if row.latency.median <= 0.040 and row.score.mean >= 0.88]
    cheapest = min(met, key=lambda row: row.latency.median)
    assert len(met) > 1
    assert opened.text("#answer b") == f"φ = {cheapest.phi[0]:g}"
    answer = opened.text("#answer")
    shown = numbers(cheapest.phi[0], frontier)
    for part in (shown["score"], f"{shown['flops']} GFLOPs", f"{shown['latency']} ms", f"of the {len(met)} that keep"):
        assert part in answer
    assert opened.text("[data-field='phi']") == f"φ = {cheapest.phi[0]:g}"
    assert opened.find("#answer").get_attribute("data-state") == "met"
    assert len(opened.all("#charts-all .limit")) == 4  # the score in each chart, the time in one

    opened.enter("#budget", "memory<=100MB")
    best = max((row for row in rows if row.memory <= 1e8), key=lambda row: row.score.mean)
    assert opened.text("#answer b") == f"φ = {best.phi[0]:g}"


def test_budget_that_nothing_meets(opened: Browser, frontier: Frontier) -> None:
    opened.enter("#budget", "latency<=26ms, dice>=0.95")

    def miss(row: Any) -> float:
        return max(0, row.latency.median / 0.026 - 1) + max(0, 1 - row.score.mean / 0.95)

    nearest = min(frontier.rows, key=miss)
    assert opened.text("#answer b") == f"No φ keeps to this; the nearest is φ = {nearest.phi[0]:g}"
    assert f"its dice is {nearest.score.mean:.4f}, not at least 0.95" in opened.text("#answer")
    assert opened.find("#answer").get_attribute("data-state") == "unmet"


UNREAD = {
    "latncy<=40ms": "“latncy” is not known; did you mean latency?",
    "energy<=40J": "“energy” is not known; there is flops, latency, memory or dice.",
    "latency<=40": "“latency<=40” needs a unit; latency is given in µs, ms or s.",
    "latency<=40lightyears": "“latency<=40lightyears” has the unknown unit “lightyears”",
    "dice<=0.9": "dice takes >=, not <=: write dice>=0.9.",
    "fast please": "“fast please” cannot be read; a limit looks like flops <= 5G.",
    "dice>=0.8.8": "“0.8.8” is not a number.",
    "dice>=89": "dice is 1 at most, got 89; write a share or a percentage (0.9, 90%).",
    "dice>=<b>0.9": "“dice>=<b>0.9” cannot be read",
}


def test_budget_that_cannot_be_read(opened: Browser) -> None:
    for text, said in UNREAD.items():
        opened.enter("#budget", text)
        assert opened.text("#answer").startswith(said)
        assert opened.find("#answer").get_attribute("data-state") == "unread"
    assert opened.complaints() == []


BUDGETS = """
latency <= 40ms, dice >= 0.88; latency<=40000us; latency ≤ 0.03 s; LATENCY<=30MS; latency<=1e-2s; memory<=0.1GB
memory<=95MiB, dice>=87%; memory<=9e7B; flops<=5G; flops <= 4.5 GFLOPs, score >= .885; flops<=5e9; flops<=3000M
dice>=0.99; latency<=20ms, dice>=0.9; flops<=1G, memory<=1MB, dice>=0.88; dice>=0.7,dice>=0.88,; dice ≥ 0.6
latency<=30ms,latency<=25ms; latency<=40; memory<=2; latency<=2GB; dice>=0.9ms; flops<=2GB; latency>=40ms; dice<=0.9
latency<40ms; latency=40ms; latency<=; <=40ms; latency 40ms; latncy<=40ms; dise>=0.9; energy<=4J; latency<=4.0.0ms
latency<=..ms; dice>=1e999; latency<=-1ms; dice>=+0.88; dice >= 0 . 8; latency<=40 m s; latency<=40ms dice>=0.8
dice>=1; dice>=1.01; dice>=100%; dice>=101%
"""


def test_budget_is_answered_as_on_the_command_line(browser: Browser, as_frontier: Read, tmp_path: Path) -> None:
    texts = [text.strip() for text in BUDGETS.replace("\n", ";").split(";") if text.strip()]
    less = segmentation_results(21, 5, metric={"name": "surface Dice", "higher_is_better": False})
    less["options"]["metric"] = "assd"
    states = set()
    for results, extra in (
        (segmentation_results(), []),
        (without_cost(segmentation_results(21), "latency"), []),
        (less, ["surface_dice<=0.88mm", "Surface-Dice <= 0.88", "assd<=0.8", "surface dice<=.86px, flops<=6G"]),
    ):
        frontier = as_frontier(results)
        write_report(frontier, tmp_path / "report.html")
        browser.open(tmp_path / "report.html")
        shown = browser.run(ANSWERS, [*texts, *extra])
        for text, (state, row, said) in zip([*texts, *extra], shown, strict=True):
            states.add(state)
            try:
                limits = read_limits([text], frontier.metric, metric_key(frontier))
                objective = default_objective(limits, measured_costs(frontier.rows), frontier.higher_is_better)
                choice = choose(frontier.rows, limits, objective)
            except FrontierError:
                assert state == "unread", text
                continue
            assert (state, row) == ("met" if choice.met else "unmet", frontier.rows.index(choice.row)), text
            if choice.met > 1:
                assert f"of the {choice.met} that keep" in said, text
    assert states == {"met", "unmet", "unread"}


ANSWERS = """
const [box, dial, answer] = ['budget', 'phi', 'answer'].map((name) => document.getElementById(name));
return arguments[0].map((text) => {
  box.value = text;
  box.dispatchEvent(new Event('input'));
  return [answer.dataset.state, Number(dial.value), answer.textContent];
});
"""


def test_suggested_budgets_can_be_met(opened: Browser) -> None:
    chips = opened.all(".chips button")
    assert len(chips) == 4
    for chip in chips:
        chip.click()
        assert opened.find("#budget").get_attribute("value") == chip.text
        assert opened.find("#answer").get_attribute("data-state") == "met"


def test_table_is_sorted_by_any_column(opened: Browser, frontier: Frontier) -> None:
    heads = opened.run("return [...document.querySelectorAll('.sortable thead th')].map((head) => head.innerText)")
    column = heads.index("Time (ms)")

    def shown() -> list[int]:
        return opened.run("return [...document.querySelectorAll('.sortable tbody tr')].map((r) => +r.dataset.row)")

    order = sorted(range(len(frontier.rows)), key=lambda n: frontier.rows[n].latency.median)
    opened.all("table.sortable thead button")[column].send_keys("\n")
    assert shown() == order
    opened.all("table.sortable thead button")[column].send_keys(" ")
    assert shown() == order[::-1]
    assert opened.all("table.sortable thead th")[column].get_attribute("aria-sort") == "descending"


PAGES: dict[str, Callable[[], tuple[dict[str, Any], list[Example]]]] = {
    "segmentation": lambda: (segmentation_results(21), [example("hippocampus_017"), example("b")]),
    "registration": lambda: (registration_results(11), [example("a to b", registration=True)]),
    "several factors": lambda: (vector_results(), []),
    "no cost": lambda: (without_cost(segmentation_results(11), "flops", "latency", "memory"), []),
    "no labels": lambda: (without_labels(registration_results(7)), []),
    "one row": lambda: (segmentation_results(1), []),
}


@pytest.mark.parametrize(
    ("kind", "confirmed"), [*((kind, False) for kind in PAGES), ("registration", True), ("several factors", True)]
)
def test_no_request_no_error_and_no_overflow(
    browser: Browser, as_frontier: Read, tmp_path: Path, kind: str, confirmed: bool
) -> None:
    results, examples = PAGES[kind]()
    page, metric = tmp_path / "report.html", results["metric"]["name"]
    other = as_frontier(of_other_cases(results, -0.02, 3)) if confirmed else None
    write_report(as_frontier(results), page, examples, confirm=other)
    assert page.stat().st_size < 3e6
    browser.open(page)
    for width, scheme in ((1280, "light"), (400, "dark")):
        browser.resize(width, scheme)
        for row in range(0, len(results["rows"]), 10):
            browser.enter("#phi", row)
        browser.enter("#budget", f"{metric} >= 0.5")
        assert browser.find("#answer").get_attribute("data-state") == "met"
        assert not confirmed or browser.text("#answer span").startswith("On ")
        assert browser.overflow() == 0 and browser.find(".table-box").rect["width"] < width
        # No reading runs into the next.
        for reading in browser.all(".readings > div"):
            assert browser.run("return arguments[0].scrollWidth - arguments[0].clientWidth", reading) <= 0
    assert browser.complaints() == [] and browser.requests() == [page.as_uri()]


def test_what_comes_from_files_stays_text(browser: Browser, as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results(5, 2)
    renamed = dict(zip(results["data"]["cases"], [HOSTILE, "b"], strict=True))
    for row in results["rows"]:
        row["cases"] = {renamed[name]: scores for name, scores in row["cases"].items()}
    results["data"] = {"name": HOSTILE, "part": HOSTILE, "cases": list(renamed.values())}
    results["labels"] = {"1": HOSTILE, "2": "\ud800 half a pair"}
    results["bundle"] |= {"name": HOSTILE, "settings": {HOSTILE: [HOSTILE]}}
    results["machine"] |= {HOSTILE: HOSTILE, "processor": {"deep": HOSTILE}}
    results["options"] |= {"command": [HOSTILE], HOSTILE: [HOSTILE]}
    results["metric"]["name"] = HOSTILE
    other = of_other_cases(results, 0.0, 2, part=f"{HOSTILE} test", cases=[f"{HOSTILE} there", "c"])
    page = tmp_path / "report.html"
    write_report(as_frontier(results), page, [example(HOSTILE)], confirm=as_frontier(other))
    browser.open(page, 400)
    browser.enter("#budget", "flops <= 1T")
    assert f"{HOSTILE} test" in browser.text("#answer span")
    assert browser.driver.title == browser.text("h1") == f"{HOSTILE} on {HOSTILE}"
    assert browser.complaints() == [] and browser.requests() == [page.as_uri()]
    assert browser.all("img") == [] and len(browser.all("script")) == 2
    assert browser.text("[data-label='0'] th") == HOSTILE
    assert browser.overflow() == 0


def test_policy_forbids_what_is_not_the_pages_own(browser: Browser, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    added = "<script>document.title='broken'</script><img src='picture.png' onerror=\"document.title='broken'\">"
    page.write_text(text.replace("</body>", added + "</body>"), encoding="utf-8")
    browser.open(page)
    assert browser.driver.title == "sshn_seg on Task04_Hippocampus"
    assert sum("Content Security Policy" in message for message in browser.complaints()) >= 2


def test_text_stands_out_from_its_ground(opened: Browser) -> None:
    """WCAG's contrast of 4.5, computed here from the colours that the browser gives."""
    for scheme in ("light", "dark"):
        opened.resize(1280, scheme)
        for selector in "h1|.quiet|dt|.dial output|.chips button|.answer|td|.card figcaption span".split("|"):
            assert opened.run(CONTRAST, selector) >= 4.5, (scheme, selector)


CONTRAST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const item = document.querySelector(arguments[0]);
let ground = item;
while (parts(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
const [one, two] = [getComputedStyle(item).color, getComputedStyle(ground).backgroundColor].map(light);
return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
"""


def test_every_control_has_a_name(opened: Browser) -> None:
    controls = opened.all("input, summary, .chips button, thead button, [role='region'], #charts-all svg[role='img']")
    assert len(controls) > 15
    for control in controls:
        assert control.accessible_name, control.get_attribute("outerHTML")
