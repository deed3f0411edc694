from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from monai_hyperscale.report import write_figures
from monai_hyperscale.report.figures import _figure
from monai_hyperscale.report.view import View
from monai_hyperscale.search.results import Frontier
from tests.report.made_up import segmentation_results, vector_results, without_cost

Read = Callable[[dict[str, Any]], Frontier]


def test_png_and_svg_of_every_measured_cost(as_frontier: Read, tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    paths = write_figures(as_frontier(without_cost(segmentation_results(11, 4), "memory", "flops")), folder)
    names = [f"score_{over}{suffix}" for over in ("latency", "phi") for suffix in (".png", ".svg")]
    assert [path.name for path in paths] == names and sorted(path.name for path in folder.iterdir()) == names
    with Image.open(paths[0]) as picture:
        assert picture.size == (1050, 780)
    texts = {text for item in ElementTree.parse(paths[1]).iter() for text in item.itertext()}
    assert {"Dice", "Time (ms)"} <= {text.strip() for text in texts}


def test_curve_goes_through_the_rows(as_frontier: Read) -> None:
    frontier = as_frontier(segmentation_results(11, 4))
    view = View(frontier)
    figure: Figure = _figure(view, view.costs[0])
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [row.flops / 1e9 for row in frontier.rows])
    np.testing.assert_allclose(line.get_ydata(), [row.score.mean for row in frontier.rows])
    _, pareto, knee = (points.get_offsets() for points in figure.axes[0].collections)
    expected = [(frontier.rows[n].flops / 1e9, frontier.rows[n].score.mean) for n in frontier.pareto["flops"]]
    np.testing.assert_allclose(sorted(map(tuple, pareto)), sorted(expected))
    row = frontier.rows[frontier.knee["flops"]]
    np.testing.assert_allclose(knee, [(row.flops / 1e9, row.score.mean)])


@pytest.mark.parametrize(
    "results",
    [
        without_cost(vector_results(), "latency", "memory"),
        without_cost(segmentation_results(3, 2), "flops", "latency", "memory"),
    ],
)
def test_other_frontiers(as_frontier: Read, tmp_path: Path, results: dict[str, Any]) -> None:
    names = [path.name for path in write_figures(as_frontier(results), tmp_path / "figures")]
    several = len(results["rows"][0]["phi"]) > 1
    assert names[:2] == (["score_flops.png", "score_flops.svg"] if several else ["score_phi.png", "score_phi.svg"])


def test_same_frontier_same_files(as_frontier: Read, tmp_path: Path) -> None:
    frontier = as_frontier(without_cost(segmentation_results(5, 2), "flops", "memory", "latency"))
    first, second = (write_figures(frontier, tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_all_figures_or_none(as_frontier: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frontier = as_frontier(segmentation_results(5, 2))
    calls: list[Any] = []

    def full(figure: Figure, *arguments: Any, **options: Any) -> None:
        calls.append(options)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space"):
        write_figures(frontier, tmp_path / "figures")
    assert len(calls) == 3 and list((tmp_path / "figures").iterdir()) == []
