"""Which factor counts, on scores whose answer is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from monai_hyperscale.analysis import draw_level_costs, draw_level_map, factor_influence, gains_at_cost
from monai_hyperscale.analysis.levels import level_panels
from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import Frontier, FrontierRow, Interval, pareto_points

VALUES = (0.0, 0.25, 0.5)


def frontier(
    phis: Sequence[tuple[float, ...]], score: Any, flops: Any, higher: bool = True, **changes: Any
) -> Frontier:
    rows = [FrontierRow(phi, Interval(score(phi), 0.0, 1.0), flops=flops(phi)) for phi in phis]
    found = pareto_points([row.flops for row in rows], [row.score.mean for row in rows], higher)
    given: dict[str, Any] = {
        "task": "segmentation",
        "bundle": {"name": "b", "weights_sha256": "0" * 64, "settings": {}},
        "data": {"name": "d", "part": "test", "cases": ["a"]},
        "labels": {"1": "liver"},
        "metric": {"name": "Dice" if higher else "HD95", "higher_is_better": higher},
        "options": {"size": [24, 24]},
        "rows": tuple(rows),
        "pareto": {"flops": tuple(found)},
    }
    return Frontier(**{**dict.fromkeys(("machine", "hypervolume", "knee"), {}), **given, **changes})


def score(phi: Sequence[float]) -> float:
    # The first rises to 0.25 and falls by half of that, the second rises, the third falls a little.
    return 0.5 + {0.0: 0.0, 0.25: 0.2, 0.5: 0.1}[phi[0]] + 0.1 * phi[1] - 0.02 * phi[2]


def cost(phi: Sequence[float]) -> float:
    return 1e9 * (1 + 4 * phi[0] + 2 * phi[1] + phi[-1])


def levels(**changes: Any) -> Frontier:
    return frontier(list(itertools.product(VALUES, repeat=3)), score, cost, **changes)


def common(**changes: Any) -> Frontier:
    return frontier([(value,) for value in VALUES], lambda phi: score(phi * 3), lambda phi: cost(phi * 3), **changes)


def test_influence_of_every_factor() -> None:
    first, second, third = factor_influence(levels())
    assert (first.change, second.change, third.change) == pytest.approx((0.2, 0.05, 0.01))
    assert (first.rise, second.rise, third.rise) == pytest.approx((0.1, 0.05, -0.01))
    assert (first.best, second.best, third.best) == (0.25, 0.5, 0.0)
    assert first.settings == 9 and first.values == VALUES
    assert [factor.best for factor in factor_influence(levels(higher=False))] == [0.0, 0.0, 0.5]


def test_incomplete_grids_compare_what_they_can() -> None:
    phis = [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.25, 0.5, 0.0)]
    first, second, third = factor_influence(frontier(phis, score, cost))
    # Of the settings of the others only (0, 0) has two values of the first, and none has all three.
    assert (first.change, first.settings, first.best) == (pytest.approx(0.1), 1, None)
    assert (second.change, second.settings) == (None, 0) and third.change is None


def test_gains_at_the_cost_of_one_factor() -> None:
    separate, one = levels(), common()
    gains = gains_at_cost(separate, one)
    assert [gain.phi for gain in gains] == [0.0, 0.25]  # 0.5 costs more and scores less
    for gain in gains:
        near = [phi for phi in itertools.product(VALUES, repeat=3) if cost(phi) <= gain.flops]
        assert gain.separate == pytest.approx(max(map(score, near)))
        assert gain.factors in near and score(gain.factors) == pytest.approx(gain.separate)
    assert gains[1].separate > gains[1].common


def test_heat_maps_have_every_setting_in_its_place() -> None:
    panels = level_panels(levels())
    assert [title for title, *_ in panels] == ["φ₀ = 0", "φ₀ = 0.25", "φ₀ = 0.5"]
    figure = draw_level_map(levels(), floor=0.6)
    axes = figure.axes[1]
    shown = axes.images[0].get_array()
    expected = [[score((0.25, y, x)) for x in VALUES] for y in VALUES]
    np.testing.assert_allclose(shown, expected)
    # The setting with all factors equal is framed, at (x, y) = (1, 1).
    (frame,) = axes.patches
    assert frame.get_xy() == (0.5, 0.5) and frame.get_edgecolor()[:3] == (1, 1, 1)
    # Colours tell apart what is above the floor.
    assert axes.images[0].get_clim() == pytest.approx((0.6, 0.75), abs=0.011)
    assert figure.axes[-1].get_ylabel() == "Dice"


@pytest.mark.parametrize(("count", "panels"), [(2, 1), (4, 6)])
def test_other_numbers_of_factors(count: int, panels: int) -> None:
    results = frontier(list(itertools.product((0.1, 0.5), repeat=count)), lambda phi: sum(phi) / 10, cost)
    found = level_panels(results)
    assert len(found) == panels
    title, y, x, cells = found[-1]
    expected = {2: (0.5 + 0.1) / 10, 4: (2 * 0.3 + 0.5 + 0.1) / 10}[count]
    assert cells[0.5, 0.1] == pytest.approx(expected) and (y, x) == (count - 2, count - 1)
    assert len(draw_level_map(results).axes) >= panels + 1


def test_a_rescaled_input_has_twice_the_common_factor() -> None:
    bundle = {"name": "b", "weights_sha256": "0" * 64, "settings": {"rescale_input": True}}
    results = frontier(list(itertools.product((0.25, 0.5), repeat=2)), sum, cost, bundle=bundle)
    (frame,) = draw_level_map(results).axes[0].patches
    assert frame.get_xy() == (-0.5, 0.5)  # the second factor 0.25, the first 0.5


def test_costs_show_the_settings_and_the_front() -> None:
    separate = levels()
    figure = draw_level_costs(separate, common())
    front, one = figure.axes[0].lines
    indices = separate.pareto["flops"]
    assert list(front.get_xdata()) == pytest.approx([separate.rows[index].flops / 1e9 for index in indices])
    assert len(figure.axes[0].collections[0].get_offsets()) == 27
    assert list(one.get_ydata()) == pytest.approx([score((value,) * 3) for value in VALUES])


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(FrontierError, match="one factor for all levels, so there is none to compare"):
        factor_influence(common())
    with pytest.raises(FrontierError, match="must have one factor"):
        gains_at_cost(levels(), levels())
    for what, changes in {
        "metric": {"metric": {"name": "IoU", "higher_is_better": True}},
        "data set": {"data": {"name": "e", "part": "test", "cases": ["a"]}},
        "size of image": {"options": {"size": [48, 48]}},
    }.items():
        for compare in (draw_level_costs, gains_at_cost):
            with pytest.raises(FrontierError, match=f"another {what}"):
                compare(levels(), common(**changes))
