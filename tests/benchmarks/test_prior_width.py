"""The benchmark of the prior's width: what it trains, resumes, prints and draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import prior_width
from benchmarks.wbc import _factors

STEPS = ["--steps", "3", "--seeds", "0", "1", "--radii", "0", "0.1"]


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a command on eight small images in place of the data set."""
    label = torch.randint(0, 3, (8, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    label = label.repeat_interleave(4, 2).repeat_interleave(4, 3)
    images = label.float().expand(-1, 3, -1, -1) - 1, label
    monkeypatch.setattr(prior_width, "load_images", lambda folder: {"train": images, "test": images})
    return ["--dataset", "none", "-o", str(tmp_path / "width.json"), *STEPS]


def test_phi_is_drawn_from_the_interval() -> None:
    runs = prior_width.recipes([0.0, 0.05, 0.5], [0], 600)
    assert list(runs) == ["fixed, seed 0", "r = 0, seed 0", "r = 0.05, seed 0", "r = 0.5, seed 0"]
    drawn = {name: [_factors(recipe, step, 0)[0] for step in range(1, 401)] for name, (recipe, _) in runs.items()}
    assert set(drawn["fixed, seed 0"]) == set(drawn["r = 0, seed 0"]) == {0.5}
    narrow, wide = torch.tensor(drawn["r = 0.05, seed 0"]), torch.tensor(drawn["r = 0.5, seed 0"])
    assert 0.45 <= narrow.min() < 0.455 and 0.545 < narrow.max() <= 0.55
    # The moments of a uniform distribution.
    assert float(wide.mean()) == pytest.approx(0.5, abs=0.03) and float(wide.std()) == pytest.approx(12**-0.5, abs=0.02)


def test_it_trains_what_is_missing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []
    measure = prior_width.measure

    def measured(recipe: Any, *rest: Any) -> Any:
        trained.append(recipe.method)
        return measure(recipe, *rest)

    monkeypatch.setattr(prior_width, "measure", measured)
    assert prior_width.main(arguments) == 0
    assert trained == ["fixed", "sshn", "sshn"] * 2
    assert prior_width.main([*arguments, "--radii", "0", "0.1", "0.2"]) == 0
    assert trained[6:] == ["sshn"] * 2
    results = json.loads((tmp_path / "width.json").read_text(encoding="utf-8"))
    assert len(results) == 8 and set(results["fixed, seed 0"]["dice"]) == {"0.5"}
    assert (tmp_path / "width.png").stat().st_size > 0 and "</svg>" in (tmp_path / "width.svg").read_text()
    with pytest.raises(SystemExit) as end:
        prior_width.main([*arguments, "--steps", "4"])
    assert end.value.code == 2 and "another recipe or number of steps" in capsys.readouterr().err


def result(seed: int, test: float, training: float) -> dict[str, Any]:
    return {"seed": seed, "dice": {"0.5": test}, "training_dice": {"0.5": training}}


def test_table_and_figure_say_what_was_measured() -> None:
    results = {
        "r = 0.1, seed 0": result(0, 0.93, 0.95),
        "fixed, seed 0": result(0, 0.92, 0.96),
        "r = 0.1, seed 1": result(1, 0.94, 0.95),
        "fixed, seed 1": result(1, 0.91, 0.96),
        "r = 0.02, seed 0": result(0, 0.90, 0.97),
    }
    found = prior_width.scores(results)
    assert [one.radius for one in found] == [None, 0.02, 0.1]
    assert prior_width.cells(found[0], found[0]) == ["Fixed", "", "0.9150", "0.0071", "", "", "0.9600", "2"]
    # One point and three points above Fixed with the same seed.
    assert prior_width.cells(found[2], found[0]) == ["SSHN", "0.2", "0.9350", "0.0071", "+2.00", "1.41", "0.9500", "2"]
    lines = {line.get_label(): line for line in prior_width.draw(found).axes[0].lines}
    assert list(lines["SSHN, test images"].get_xdata()) == [0.04, 0.2]
    assert list(lines["SSHN, test images"].get_ydata()) == pytest.approx([0.90, 0.935])
    assert list(lines["Fixed, test images"].get_ydata()) == pytest.approx([0.915, 0.915])
