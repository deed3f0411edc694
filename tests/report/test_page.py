"""The page as a file: its content without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from monai_hyperscale.errors import ImageError
from monai_hyperscale.report import Example, write_report
from monai_hyperscale.search.results import Frontier
from tests.report.made_up import registration_results, segmentation_results, vector_results, without_cost

Read = Callable[[dict[str, Any]], Frontier]


class Parsed(HTMLParser):
    """A page as tags with their attributes, and the text inside some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Optional[str]]]] = []
        self.rows: list[list[str]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        self.inside.setdefault(tag, []).append("")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open[-1]][-1] += data
        if self.rows and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def written(frontier: Frontier, folder: Path, *examples: Example, **options: Any) -> tuple[str, Parsed]:
    write_report(frontier, folder / "report.html", examples, **options)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Parsed(text)


def test_nothing_outside_the_page_is_named(as_frontier: Read, tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((8, 7))
    text, page = written(
        as_frontier(segmentation_results(5, 2)), tmp_path, Example("a", {"image": image}, {(0.1,): image > 0.5})
    )
    addresses = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "formaction")
    ]
    assert len(addresses) >= 3
    assert all(address and address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert not {"link", "iframe", "object", "embed", "base", "form", "img"} & {tag for tag, _ in page.tags}
    assert "url(" not in text and "@import" not in text
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]


def test_policy_allows_the_pages_own_script_and_style_alone(as_frontier: Read, tmp_path: Path) -> None:
    _, page = written(as_frontier(segmentation_results(5, 2)), tmp_path)
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = {
        name: "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"
        for name, content in (("script-src", page.inside["script"][-1]), ("style-src", page.inside["style"][0]))
    }
    assert rules == {
        "default-src": "'none'",
        **hashes,
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_table_holds_the_rows(as_frontier: Read, tmp_path: Path) -> None:
    frontier = as_frontier(registration_results(6, 3))
    _, page = written(frontier, tmp_path)
    heads = next(row for row in page.rows if row[:2] == ["φ", "Dice"])
    lines = page.rows[page.rows.index(heads) + 1 :]
    assert len(lines) == len(frontier.rows)
    for line, row in zip(lines, frontier.rows, strict=True):
        cells = dict(zip(heads, line, strict=True))
        assert row.flops and row.latency and row.memory and row.extra["before"].mean and row.extra["folded"].mean
        n = frontier.rows.index(row)
        assert cells == {
            "φ": f"{row.phi[0]:g}",
            "Dice": f"{row.score.mean:.4f}",
            "95 % interval": f"{row.score.low:.4f} – {row.score.high:.4f}",
            "Anterior": f"{row.labels['1'].mean:.4f}",
            "Posterior": f"{row.labels['2'].mean:.4f}",
            "Compute (GFLOPs)": f"{row.flops / 1e9:.{2 if row.flops < 1e10 else 1}f}",
            "Time (ms)": f"{row.latency.median * 1e3:.1f}",
            "Quartiles": f"{row.latency.low * 1e3:.1f} – {row.latency.high * 1e3:.1f}",
            "Working memory (MB)": f"{row.memory / 1e6:.{1 if row.memory < 1e8 else 0}f}",
            "Before": f"{row.extra['before'].mean:.4f}",
            "Folded (%)": f"{100 * row.extra['folded'].mean:.3f}",
            "Pareto for": ", ".join(
                word
                for word, key in (("compute", "flops"), ("time", "latency"), ("working memory", "memory"))
                if n in frontier.pareto[key]
            ),
        }


@pytest.mark.parametrize(
    ("volumes", "dims", "wanted"),
    [
        ({"1": 900.4, "2": 1400.0}, 3, ["Posterior 1,400 mm³", "Anterior 900 mm³"]),
        ({"2": 1400.0}, 2, ["Posterior", "Anterior"]),
        ({}, 3, ["Anterior", "Posterior"]),
    ],
)
def test_bars_of_labels_go_from_the_largest_to_the_smallest(
    as_frontier: Read, tmp_path: Path, volumes: dict[str, float], dims: int, wanted: list[str]
) -> None:
    results = segmentation_results()
    results["data"] = {**results["data"], "mean_volumes": volumes}
    results["bundle"]["settings"]["spatial_dims"] = dims
    _, page = written(as_frontier(results), tmp_path)
    first = next(place for place, row in enumerate(page.rows) if row[0] == "Label")
    assert [row[0] for row in page.rows[first + 1 : first + 3]] == wanted


def test_provenance_is_told(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results(5, 2)
    text, page = written(as_frontier(results), tmp_path)
    told = page.inside["dd"]
    for fact in (
        results["bundle"]["weights_sha256"],
        "a processor of 2 cores",
        "2.13.0",
        "0:0.5:0.01",
        "36, 52, 36",
        "678,211 at every φ",
    ):
        assert fact in told
    assert "monai-hyperscale pareto bundles/sshn_seg --dataset Task04_Hippocampus" in page.inside["pre"]
    assert ", ".join(results["data"]["cases"]) in page.inside["pre"]
    assert json.loads(page.inside["pre"][-1]) == results["bundle"]["settings"]
    for key, volume in results["hypervolume"].items():
        assert f"{volume:.3f}" in told, key


def test_a_choice_by_the_page_alone_is_said_to_flatter(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results()
    count, part = len(results["data"]["cases"]), results["data"]["part"]
    text, _ = written(as_frontier(results), tmp_path)
    way = "choose on those of pareto --cases validation, with these as --confirm"
    assert part == "test"
    assert f"Chosen and scored on the same {count} test cases, which flatters the score; to confirm, {way}." in text
    validation = {**results, "data": {**results["data"], "part": "validation"}}
    text, _ = written(as_frontier(validation), tmp_path)
    assert "to confirm, add --confirm with those of pareto --cases test." in text
    assert "flatters" not in written(as_frontier(validation), tmp_path, confirm=as_frontier(results))[0]


def test_memory_says_what_it_is_of(as_frontier: Read, tmp_path: Path) -> None:
    note = "Working memory is the peak of one inference, beside the weights, the image and the process."
    text, _ = written(as_frontier(segmentation_results()), tmp_path)
    assert text.count(note) == 1
    text, _ = written(as_frontier(without_cost(segmentation_results(), "memory")), tmp_path)
    assert "emory" not in text.partition("<main")[2].partition("<script")[0]


def test_a_choice_that_was_kept_is_told(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results()
    row, data = results["rows"][1], {**results["data"], "part": "test"}
    _, parsed = written(as_frontier({**results, "choice": {"phi": row["phi"]}}), tmp_path)
    assert "Chosen" in parsed.inside["h3"] and "confirmed on" not in parsed.inside["dt"]
    chosen = {"phi": row["phi"], "confirmed": {"data": data, "row": row}}
    _, parsed = written(as_frontier({**results, "choice": chosen}), tmp_path)
    names, values = parsed.inside["dt"], parsed.inside["dd"]
    score = row["score"]
    assert f"{len(data['cases'])} test cases" in values and "confirmed on" in names
    assert f"{score['mean']:.4f} ({score['low']:.4f} – {score['high']:.4f})" in values


def test_costs_that_were_not_measured_are_left_out(as_frontier: Read, tmp_path: Path) -> None:
    text, page = written(as_frontier(without_cost(segmentation_results(5, 2), "latency", "memory")), tmp_path)
    charts = [a.get("data-cost") for tag, a in page.tags if tag == "svg" and a.get("data-cost")]
    assert set(charts) == {"flops"}
    assert "ms" not in page.inside["small"] and not any(
        text.startswith(("Time", "Working memory")) for text in page.inside["button"]
    )
    assert "less compute than φ = 0.5" in page.inside["p"][1]


def test_without_any_cost_the_score_goes_over_phi(as_frontier: Read, tmp_path: Path) -> None:
    results = without_cost(segmentation_results(5, 2), "flops", "latency", "memory")
    _, page = written(as_frontier(results), tmp_path)
    assert {a.get("data-cost") for tag, a in page.tags if tag == "svg" and a.get("data-cost")} == {"phi"}
    best = max(results["rows"], key=lambda row: row["score"]["mean"])
    assert page.inside["p"][1] == f"φ = {best['phi'][0]:g} has the best Dice, {best['score']['mean']:.4f}."


def test_rows_of_several_factors(as_frontier: Read, tmp_path: Path) -> None:
    frontier = as_frontier(vector_results())
    _, page = written(frontier, tmp_path)
    slider = next(a for tag, a in page.tags if a.get("id") == "phi")
    assert (slider["min"], slider["max"]) == ("0", str(len(frontier.rows) - 1))
    firsts = [row[0] for row in page.rows if len(row) > 5][1:]
    assert firsts == [", ".join(f"{factor:g}" for factor in row.phi) for row in frontier.rows]


def test_rows_of_one_factor_are_in_order(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results(9, 2)
    turned = {**results, "rows": results["rows"][::-1]}
    for name in ("pareto", "knee"):
        turn = lambda found: [8 - n for n in found] if isinstance(found, list) else 8 - found  # noqa: E731
        turned[name] = {key: turn(found) for key, found in results[name].items()}
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    assert written(as_frontier(results), tmp_path / "a")[0] == written(as_frontier(turned), tmp_path / "b")[0]


def test_less_can_be_better(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results(5, 2, metric={"name": "HD95", "higher_is_better": False})
    for n, row in enumerate(results["rows"]):
        for score in (row["score"], *row["labels"].values()):
            score.update(mean=9.0 - n, low=8.5 - n, high=9.5 - n)
    results["knee"] = {"flops": 2, "latency": 2, "memory": 2}
    _, page = written(as_frontier(results), tmp_path)
    saved = 1 - results["rows"][2]["latency"]["median"] / results["rows"][4]["latency"]["median"]
    assert page.inside["p"][1] == f"φ = 0.25 costs {100 * saved:.0f} % less time than φ = 0.5 for 2.00 HD95 more."
    assert "hd95 <= 7.0" in page.inside["button"]


def test_scores_that_are_missing(as_frontier: Read, tmp_path: Path) -> None:
    results = segmentation_results(5, 2)
    nothing = {"mean": None, "low": None, "high": None}
    results["rows"][2]["score"] = nothing
    results["rows"][3]["labels"]["1"] = nothing
    results["rows"][4]["score"] = {**results["rows"][4]["score"], "low": None, "high": None}
    _, page = written(as_frontier(results), tmp_path)
    lines = [row for row in page.rows if len(row) > 5][1:]
    assert lines[2][1] == "–" and lines[3][3] == "–"
    points = [a for tag, a in page.tags if tag == "circle" and a.get("data-row") == "2"]
    assert points == []
    for row in results["rows"]:
        row["score"] = nothing
    _, page = written(as_frontier(results), tmp_path)
    assert page.inside["p"][1] == "No case has a Dice."


def test_page_is_written_whole_or_not_at_all(
    as_frontier: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontier, path = as_frontier(segmentation_results(5, 2)), tmp_path / "page" / "report.html"
    path.parent.mkdir()
    path.write_text("before")
    pair = Example("a", {"moving": np.zeros((4, 4)), "fixed": np.zeros((4, 4))}, {(0.1,): np.zeros((2, 4, 4))})
    with pytest.raises(ImageError, match="example a of segmentation needs the images image, got fixed and moving"):
        write_report(frontier, path, [pair])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_report(frontier, path)
    assert path.read_text() == "before" and list(path.parent.iterdir()) == [path]


def test_names_cannot_break_out_of_the_page(as_frontier: Read, tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    results = segmentation_results(5, 2)
    results["labels"] = {"1": hostile, "2": "<!--<script>"}
    results["metric"]["name"] = results["bundle"]["name"] = hostile
    _, page = written(as_frontier(results), tmp_path)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not {"img", "!--"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    data = json.loads(page.inside["script"][0])
    assert data["metric"] == hostile
