from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import Frontier, FrontierRow, Interval
from monai_hyperscale.search.confirmation import confirmation


def frontier(**changes: Any) -> Frontier:
    rows = tuple(FrontierRow((phi,), Interval(phi + 0.5, phi, phi + 0.6)) for phi in (0.1, 0.3))
    made = Frontier(
        "segmentation",
        {"name": "net", "weights_sha256": "6f"},
        {"name": "liver", "part": "validation", "cases": ["a", "b", "c"]},
        {"1": "liver", "2": "tumour"},
        {"name": "Dice", "higher_is_better": True},
        {},
        {},
        rows,
        {},
        {},
        {},
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("data", "shared"),
    [
        ({"name": "liver", "part": "test", "cases": ["d", "e"]}, ()),
        ({"name": "liver", "part": "test", "cases": ["c", "d", "a"]}, ("c", "a")),
        ({"name": "spleen", "part": "test", "cases": ["a"]}, ()),  # the same name of another patient
    ],
)
def test_cases_that_are_in_both(data: dict[str, Any], shared: tuple[str, ...]) -> None:
    found = confirmation(frontier(), frontier(data=data))
    assert found.shared == shared
    said = f"{len(shared)} of the cases to confirm on are among those that the choice was made on."
    assert found.warning == (said if shared else None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"bundle": {"name": "net", "weights_sha256": "70"}},
            "test.json is of other weights than the choice; confirm on the same network.",
        ),
        (
            {"metric": {"name": "HD95", "higher_is_better": False}},
            "test.json has another score (HD95) than the choice (Dice).",
        ),
        (
            {"metric": {"name": "Dice", "higher_is_better": True, "tolerance": 1}},
            "test.json has another score (Dice) than the choice (Dice).",
        ),
        (
            {"labels": {str(n): f"part {n}" for n in range(1, 7)}},
            "test.json has other labels (1 part 1, 2 part 2, 3 part 3, 4 part 4 and 2 more) than the choice "
            "(1 liver, 2 tumour).",
        ),
        ({"labels": {}}, "test.json has other labels (none) than the choice (1 liver, 2 tumour)."),
    ],
)
def test_what_cannot_be_compared_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FrontierError) as error:
        confirmation(frontier(), frontier(**changes), "test.json")
    assert str(error.value) == said


def test_rows_are_those_of_the_other_cases() -> None:
    there = (FrontierRow((0.3,), Interval(0.7, 0.6, 0.8)), FrontierRow((0.4,), Interval(0.9, 0.8, 1.0)))
    found = confirmation(frontier(), frontier(rows=there), "test.json")
    found.check_common_phi()
    assert found.row((0.1 + 0.2,)) is there[0]
    with pytest.raises(FrontierError, match=r"test\.json has no phi = 0\.1; measure it there too"):
        found.row((0.1,))
    apart = confirmation(frontier(), frontier(rows=there[1:]))
    with pytest.raises(FrontierError, match="the frontier to confirm on has none of the phi to choose among"):
        apart.check_common_phi()
