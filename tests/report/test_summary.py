from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from monai_hyperscale.report.view import View
from monai_hyperscale.report.wording import row_texts, summary
from monai_hyperscale.search.results import Frontier
from tests.report.made_up import segmentation_results

Read = Callable[[dict[str, Any]], Frontier]


def three_rows(*points: tuple[float, float]) -> dict[str, Any]:
    """Return results of rows with (score, seconds), for φ of 0, 0.25 and 0.5."""
    results = segmentation_results(len(points), 2)
    for row, (score, seconds) in zip(results["rows"], points, strict=True):
        row["score"] = {"mean": score, "low": score - 0.01, "high": score + 0.01}
        row["latency"] = {"median": seconds, "low": seconds, "high": seconds, "runs": 3}
    return results


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (
            [(0.8, 0.1), (0.887, 0.59), (0.89, 1.0)],
            "φ = 0.25 costs 41 % less time than φ = 0.5 for 0.3 points of Dice.",
        ),
        ([(0.8, 0.1), (0.88, 0.59), (0.89, 1.0)], "φ = 0.25 costs 41 % less time than φ = 0.5 for 1.0 point of Dice."),
        (
            [(0.8, 0.1), (0.9, 0.5), (0.89, 1.0)],
            "φ = 0.25 costs 50 % less time than φ = 0.5 and is 1.0 point of Dice better.",
        ),
        ([(0.89, 0.1), (0.9, 0.5), (0.89, 1.0)], "φ = 0 costs 90 % less time than φ = 0.5 for the same Dice."),
        (
            [(0.8, 0.1), (0.7, 0.5), (0.89, 1.0)],
            "No φ takes less time than φ = 0.5 without losing more than one point of Dice.",
        ),
    ],
)
def test_sentence(as_frontier: Read, points: list[tuple[float, float]], sentence: str) -> None:
    assert summary(View(as_frontier(three_rows(*points)))) == sentence


def test_compared_with_the_largest_phi(as_frontier: Read) -> None:
    results = three_rows((0.8, 0.25), (0.9, 2.0), (0.89, 1.0))
    results["rows"][0]["memory"] = None  # what was not measured is no saving
    results["pareto"].pop("memory", None), results["knee"].pop("memory", None), results["hypervolume"].pop("memory", 0)
    view = View(as_frontier(results))
    changes = [{name: text for name, text in row_texts(view, n).items() if name.endswith("change")} for n in range(3)]
    assert changes[0]["latency-change"] == "−75 % against φ = 0.5"
    assert changes[0]["score-change"] == "−9.0 points" and "memory-change" not in changes[0]
    assert changes[1]["latency-change"] == "+100 % against φ = 0.5"
    assert changes[1]["score-change"] == "+1.0 points"
    assert changes[2] == {}


def test_units_suit_the_largest_value(as_frontier: Read) -> None:
    results = three_rows((0.8, 0.0002), (0.9, 3.0), (0.89, 2.0))
    for row in results["rows"]:
        row["flops"], row["memory"] = 5e6, 3e9
    units = {cost.key: cost.unit for cost in View(as_frontier(results)).costs}
    assert units == {"flops": "MFLOPs", "latency": "s", "memory": "GB"}
