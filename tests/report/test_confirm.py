"""The page of a frontier that another one, of other cases, confirms: in a file and in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.report import write_report
from monai_hyperscale.search.results import Frontier
from tests.report.conftest import Browser
from tests.report.made_up import of_other_cases, segmentation_results
from tests.report.test_browser import numbers
from tests.report.test_page import Parsed, written

Read = Callable[[dict[str, Any]], Frontier]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    made = segmentation_results(21, 40)
    return {**made, "data": {**made["data"], "part": "validation"}}


@pytest.fixture
def choice(results: dict[str, Any], as_frontier: Read) -> Frontier:
    return as_frontier(results)


@pytest.fixture
def other(results: dict[str, Any], as_frontier: Read) -> Frontier:
    return as_frontier(of_other_cases(results, -0.015, 3))


@pytest.fixture
def page(choice: Frontier, other: Frontier, tmp_path: Path) -> Path:
    write_report(choice, tmp_path / "report.html", confirm=other)
    return tmp_path / "report.html"


def there(phi: float, other: Frontier) -> dict[str, str]:
    """Return what the dial must show of a φ on the other cases."""
    score = next((row.score for row in other.rows if row.phi == (phi,)), None)
    if score is None:
        return {"there": "–", "there-interval": "not measured there"}
    return {"there": f"{score.mean:.4f}", "there-interval": f"{score.low:.4f} – {score.high:.4f}"}


def test_dial_tells_the_score_on_both(browser: Browser, page: Path, choice: Frontier, other: Frontier) -> None:
    browser.open(page)
    titles = browser.run("return [...document.querySelectorAll('.readings dt')].map((title) => title.innerText)")
    assert titles == ["Dice, 40 validation cases", "Dice, 40 test cases", "Compute", "Time", "Working memory"]
    for phi in (0.0, 0.225, 0.25, 0.45):
        browser.enter("#phi", [row.phi for row in choice.rows].index((phi,)))
        shown = browser.run(
            "return Object.fromEntries([...document.querySelectorAll('[data-field]')]"
            ".map((field) => [field.dataset.field, field.innerText]))"
        )
        expected = numbers(phi, choice) | there(phi, other)
        assert shown | expected == shown
    assert browser.find("[data-field='there-interval']").is_displayed()
    browser.resize(400)
    assert browser.find("[data-field='there-interval']").is_displayed() and browser.overflow() == 0


def by_hand(as_frontier: Read, scores: list[float], others: list[float], **metric: Any) -> list[Frontier]:
    """Return two frontiers whose φ, of rising cost, have these scores."""
    made = segmentation_results(len(scores), 3)
    found = []
    for means, results in ((scores, made), (others, of_other_cases(made))):
        results["data"]["part"] = "validation" if results is made else "test"
        results["metric"] |= metric
        for row, mean in zip(results["rows"], means, strict=True):
            row["score"] = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        found.append(as_frontier(results))
    return found


ANSWERS = {
    "dice >= 0.88": "On 3 test cases the score misses its limit: there it is 0.8712, not at least 0.88 (95 % interval "
    "0.8612 – 0.8812).",
    "flops <= 6G, dice >= 88%, dice >= 0.872": "On 3 test cases the score misses its limit: there it is 0.8712, "
    "not at least 88% and not at least 0.872 (95 % interval 0.8612 – 0.8812).",
    "dice >= 0.871": "On 3 test cases the score keeps to its limit too: Dice 0.8712 (95 % interval 0.8612 – 0.8812).",
    # Rounded to four places it would stand on the wrong side of its limit.
    "dice >= 0.8712": "On 3 test cases the score misses its limit: there it is 0.87118, not at least 0.8712 "
    "(95 % interval 0.8612 – 0.8812).",
    "flops <= 6G": "On 3 test cases: Dice 0.8712 (95 % interval 0.8612 – 0.8812).",
    "dice >= 0.95": "On 3 test cases the score misses its limit: there it is 0.8800, not at least 0.95 (95 % interval "
    "0.8700 – 0.8900).",
}


def test_sentences(browser: Browser, as_frontier: Read, tmp_path: Path) -> None:
    choice, other = by_hand(as_frontier, [0.8, 0.89, 0.91], [0.79, 0.87118, 0.88])
    write_report(choice, tmp_path / "report.html", confirm=other)
    browser.open(tmp_path / "report.html")
    for text, said in ANSWERS.items():
        browser.enter("#budget", text)
        assert browser.text("#answer span") == said, text
        verdict = "missed" if "misses" in said else "kept" if "keeps" in said else "told"
        assert (browser.find("#answer").get_attribute("data-confirmed") or "") == verdict, text
    write_report(choice, tmp_path / "report.html", confirm=replace(other, rows=other.rows[:2]))
    browser.open(tmp_path / "report.html")
    browser.enter("#budget", "dice >= 0.9")
    assert browser.text("#answer span") == "On 3 test cases: not measured there."
    assert browser.find("#answer").get_attribute("data-confirmed") == "unknown"
    browser.enter("#budget", "dise >= 0.88")
    assert browser.all("#answer span") == [] and browser.find("#answer").get_attribute("data-confirmed") is None


def test_less_can_be_better(browser: Browser, as_frontier: Read, tmp_path: Path) -> None:
    choice, other = by_hand(as_frontier, [3.2, 2.1, 1.9], [3.3, 2.6, 2.0], name="HD95", higher_is_better=False)
    write_report(choice, tmp_path / "report.html", confirm=other)
    browser.open(tmp_path / "report.html")
    browser.enter("#budget", "hd95 <= 2.5")
    said = "the score misses its limit: there it is 2.600, not at most 2.5 (95 % interval 2.590 – 2.610)."
    assert browser.text("#answer span") == f"On 3 test cases {said}"


def test_other_curve_lies_where_its_scores_are(browser: Browser, page: Path, choice: Frontier, other: Frontier) -> None:
    browser.open(page)
    for cost in ("flops", "latency", "memory"):
        chart = f"#charts-all svg[data-cost='{cost}']"
        x, y = ([*map(float, browser.find(chart).get_attribute(f"data-{axis}").split())] for axis in "xy")
        drawn = browser.run(
            f"""return [...document.querySelectorAll("{chart} .dot-there")].map((dot) => [dot.cx, dot.cy]
            .map((at) => at.baseVal.value))"""
        )
        measured = [row for row in choice.rows if other.row(row.phi)]
        assert len(drawn) == len(measured) == 7
        for place, row in zip(drawn, measured, strict=True):
            values = row.cost(cost), next(one for one in other.rows if one.phi == row.phi).score.mean
            expected = [
                start + (end - start) * (value - low) / (high - low)
                for value, (low, high, start, end) in zip(values, (x, y), strict=True)
            ]
            assert place == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ((0, 1, 2), "On 3 test cases, φ = 0.25 has a Dice of 0.8700, φ = 0.5 one of 0.8800."),
        ((0, 1), "On 3 test cases, φ = 0.25 has a Dice of 0.8700."),
        ((0, 2), "On 3 test cases, φ = 0.25 was not measured."),
    ],
)
def test_sentence_at_the_top(as_frontier: Read, tmp_path: Path, measured: tuple[int, ...], said: str) -> None:
    choice, other = by_hand(as_frontier, [0.8, 0.89, 0.895], [0.79, 0.87, 0.88])
    other = replace(other, rows=tuple(other.rows[n] for n in measured))
    _, parsed = written(choice, tmp_path, confirm=other)
    assert parsed.inside["p"][1].startswith("φ = 0.25 costs ") and parsed.inside["p"][1].endswith(f" Dice. {said}")


@pytest.mark.parametrize(
    ("part", "changes", "named"),
    [
        ("validation", {}, "3 test cases"),
        ("test", {}, "3 other test cases"),
        ("all", {"part": "all"}, "3 other cases"),
        ("validation", {"part": "all"}, "all 3 cases"),
        ("test", {"name": "elsewhere"}, "3 test cases of elsewhere"),
        ("test", {"cases": ["hippocampus_017", "b", "c"]}, "3 test cases"),
        ("validation", {"cases": ["b"]}, "1 test case"),
    ],
)
def test_name_of_the_other_cases(
    as_frontier: Read, tmp_path: Path, part: str, changes: dict[str, Any], named: str
) -> None:
    results = segmentation_results(3, 3)
    results["data"]["part"] = part
    names = changes.get("cases", ["x", "y", "z"])
    other = of_other_cases(segmentation_results(3, len(names)), **{"cases": names, **changes})
    _, parsed = written(as_frontier(results), tmp_path, confirm=as_frontier(other))
    assert f"Dice, {named}" in parsed.inside["dt"]
    assert parsed.inside["p"][0].endswith(f"confirmed on {named}")


def test_head_and_table(page: Path, choice: Frontier, other: Frontier) -> None:
    parsed = Parsed(page.read_text(encoding="utf-8"))
    assert "40 cases, the validation part · confirmed on 40 test cases" in parsed.inside["p"][0]
    heads = next(row for row in parsed.rows if "Dice, 40 test cases" in row)
    lines = parsed.rows[parsed.rows.index(heads) + 1 :]
    at = heads.index("Dice, 40 test cases")
    assert [line[at : at + 2] for line in lines] == [
        [f"{row.score.mean:.4f}", f"{row.score.low:.4f} – {row.score.high:.4f}"] if row else ["not measured", "–"]
        for row in (other.row(each.phi) for each in choice.rows)
    ]


@pytest.mark.parametrize(
    ("data", "shared", "warned"),
    [
        ({}, "none", False),
        ({"cases": ["hippocampus_017", "b", "hippocampus_018"]}, "2: hippocampus_017, hippocampus_018", True),
        ({"name": "elsewhere", "cases": ["hippocampus_017", "b", "c"]}, "none", False),
    ],
)
def test_provenance_tells_of_both(
    as_frontier: Read, tmp_path: Path, data: dict[str, Any], shared: str, warned: bool
) -> None:
    results = segmentation_results(5, 3)
    other = of_other_cases(results, 0.0, 2, **data)
    other["options"]["command"] = ["monai-hyperscale", "pareto", "--cases", "test"]
    text, parsed = written(as_frontier(results), tmp_path, confirm=as_frontier(other))
    titles, told = (parsed.inside[tag] for tag in ("dt", "dd"))
    assert {"Data to choose on", "Data to confirm on"} <= set(parsed.inside["h3"])
    assert told.count("3") == 2 and told[-len(titles) :][titles.index("shared cases")] == shared
    assert "3 of 5" in told and other["data"]["name"] in told
    assert {", ".join(names["data"]["cases"]) for names in (results, other)} <= set(parsed.inside["pre"])
    assert "monai-hyperscale pareto --cases test" in parsed.inside["pre"]
    assert ("2 of the cases to confirm on are among those that the choice was made on." in text) == warned
    assert ("3 test cases of elsewhere" in text) == ("name" in data)
