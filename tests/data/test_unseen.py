import logging

import pytest

from monai_hyperscale.data import unseen_names
from monai_hyperscale.data.unseen import digest

NAMES = [f"case_{number}" for number in range(8)]
FACTS = {"data": "liver", "test_cases": ["case_5", "case_2"], "all_cases": digest(NAMES)}


@pytest.mark.parametrize(
    ("names", "title", "found", "warning"),
    [
        (NAMES, "liver", ["case_5", "case_2"], ""),
        (NAMES, "renamed", ["case_5", "case_2"], ""),
        # Of the training's data a part, or more than it had.
        (NAMES[:5], "liver", ["case_2"], "has 1 of the 2 cases"),
        ([*NAMES, "case_8"], "liver", ["case_5", "case_2"], ""),
        ([*NAMES, "case_8"], "renamed", ["case_5", "case_2"], "has all 2 cases, by name"),
        # The training's data cannot be told from others.
        (NAMES[:5], "renamed", None, "has 1 of the 2 cases that the network was tested on: if it learnt"),
        (NAMES[:2], "liver", None, "has none of the 2 cases"),
        (["a", "b"], "spleen", None, ""),
    ],
)
def test_no_case_of_the_training_is_taken_for_a_new_one_unsaid(caplog, names, title, found, warning):
    with caplog.at_level(logging.WARNING):
        assert unseen_names(names, FACTS, title) == found
    assert warning in caplog.text and bool(warning) == bool(caplog.records)


@pytest.mark.parametrize("facts", [{}, {"test_cases": []}, {"data": "liver", "test_cases": None}])
def test_a_network_that_tells_nothing(facts, caplog):
    assert unseen_names(NAMES, facts, "liver") is None and not caplog.records
