from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import Frontier, FrontierRow, Interval
from monai_hyperscale.search.budget import confirmation


@pytest.mark.parametrize(
    ("data", "shared"),
    [
        ({"name": "d", "part": "test", "cases": ["e", "f"]}, ()),
        ({"name": "d", "part": "test", "cases": ["b", "d", "a"]}, ("b", "a")),
        ({"name": "spleen", "part": "test", "cases": ["a"]}, ()),  # the same name of another patient
    ],
)
def test_cases_that_are_in_both(frontier: Frontier, data: dict[str, Any], shared: tuple[str, ...]) -> None:
    found = confirmation(frontier, replace(frontier, data=data))
    assert found.shared == shared
    said = f"{len(shared)} of the cases to confirm on are among those that the choice was made on."
    assert found.warning == (said if shared else None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle": {"weights_sha256": "70"}}, "is of other weights than the choice; confirm on the same network."),
        ({"metric": {"name": "HD95", "higher_is_better": False}}, "has another score (HD95) than the choice (Dice)."),
        (
            {"metric": {"name": "Dice", "higher_is_better": True, "tolerance": 1}},
            "has another score (Dice) than the choice (Dice).",
        ),
        (
            {"labels": {str(n): f"part {n}" for n in range(1, 7)}},
            "has other labels (1 part 1, 2 part 2, 3 part 3, 4 part 4 and 2 more) than the choice (1 liver).",
        ),
        ({"labels": {}}, "has other labels (none) than the choice (1 liver)."),
    ],
)
def test_what_cannot_be_compared_is_told(frontier: Frontier, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FrontierError) as error:
        confirmation(frontier, replace(frontier, **changes), "test.json")
    assert str(error.value) == f"test.json {said}"


def test_rows_are_those_of_the_other_cases(frontier: Frontier) -> None:
    there = (FrontierRow((0.3,), Interval(0.7, 0.6, 0.8)), FrontierRow((0.4,), Interval(0.9, 0.8, 1.0)))
    found = confirmation(frontier, replace(frontier, rows=there), "test.json")
    found.check_common_phi()
    assert found.row((0.1 + 0.2,)) is there[0]
    with pytest.raises(FrontierError, match=r"test\.json has no phi = 0\.1; measure it there too"):
        found.row((0.1,))
    apart = confirmation(frontier, replace(frontier, rows=there[1:]))
    with pytest.raises(FrontierError, match="the frontier to confirm on has none of the phi to choose among"):
        apart.check_common_phi()
