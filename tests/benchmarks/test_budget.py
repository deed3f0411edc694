"""The benchmark of budgets finds the best of a grid, and says how far samplers are from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import budget
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.search import FrontierRow, Interval
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.saved import save_network


def row(phi: float, score: float, flops: float) -> FrontierRow:
    return FrontierRow((phi,), Interval(score, score, score), flops)


ROWS = [row(0.0, 0.80, 1e9), row(0.1, 0.88, 2e9), row(0.3, 0.895, 3e9), row(0.5, 0.90, 5e9)]


def test_budgets_are_a_point_or_three_from_the_best_and_parts_of_the_cost() -> None:
    bounds = [limits[0].bound for limits, _ in budget.budgets(ROWS)]
    assert bounds == pytest.approx([0.89, 0.87, 2e9, 3e9])


def test_the_gap_is_relative_to_the_best_of_the_grid() -> None:
    tight, loose, quarter, half = budget.budgets(ROWS)
    assert budget.gap(ROWS[:3], ROWS, tight) == 0
    assert budget.gap(ROWS[3:], ROWS, tight) == pytest.approx(100 * (5 - 3) / 3)
    assert budget.gap(ROWS[2:], ROWS, loose) == pytest.approx(50)
    assert budget.gap(ROWS[:1], ROWS, quarter) == pytest.approx(100 * 0.08 / 0.88)
    assert budget.gap(ROWS[3:], ROWS, half) == float("inf")


def test_the_command_measures_a_grid_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_synthetic_dataset(tmp_path / "levels" / "synthetic_data", spatial_dims=2, cases=3, size=24, labels=1)
    settings = SegmentationSettings(
        2, ("grey",), {1: "structure 1"}, network={"features": (4, 4, 4)}, generator={"hidden": (4,)}, per_level=True
    )
    save_network(tmp_path / "levels" / "models", settings)
    file = tmp_path / "budget.json"
    grid = ["--levels_grid", "0.1,0.3,0.5x0.1,0.3,0.5", "--evaluations", "6", "--seeds", "2"]
    assert budget.main(["--levels_bundle", str(tmp_path / "levels"), *grid, "--json", str(file)]) == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 4 * len(budget.SAMPLERS)
    assert all(row["grid"] == 9 and row["measured"] <= 6 and len(row["gap_percent"]) == 2 for row in rows)
    assert capsys.readouterr().out.count("synthetic anatomy, per level") == 8
