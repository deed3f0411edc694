import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.bundle import default_bundle, read_settings
from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.data import read_dataset, split_cases
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.search.cases import cases_of_part, fingerprint

NAMES = [f"case_{number}" for number in range(8)]
CASES = [{"name": name} for name in NAMES]
PARTS = {"train": NAMES[3:5] + NAMES[6:], "validation": ["case_1", "case_0"], "test": ["case_5", "case_2"]}
FACTS = {"data": "liver", "cases": PARTS}


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    return [case["name"] for case in found]


def test_parts_are_those_that_the_training_named() -> None:
    for part in ("test", "validation"):
        assert names(cases_of_part(CASES, FACTS, "liver", part)) == PARTS[part]
    assert cases_of_part(CASES, FACTS, "liver") == cases_of_part(CASES, FACTS, "liver", "validation")
    assert cases_of_part(CASES, FACTS, "liver", "all") == CASES
    with pytest.raises(DatasetError, match="cases are test, validation, all, got 'train'"):
        cases_of_part(CASES, FACTS, "liver", "train")


@pytest.mark.parametrize(
    ("there", "title", "found", "warning"),
    [
        (NAMES, "liver", ["case_5", "case_2"], ""),
        (NAMES, "renamed", ["case_5", "case_2"], ""),
        # Of the training's data a part, or more than it had.
        (NAMES[:5], "liver", ["case_2"], "has 1 of the 2 cases"),
        ([*NAMES, "case_8"], "liver", ["case_5", "case_2"], ""),
        ([*NAMES, "case_8"], "renamed", ["case_5", "case_2"], "has all 2 cases, by name"),
        # The training's data cannot be told from others.
        (NAMES[:5], "renamed", NAMES[:5], "has 1 of the 2 cases that the network was tested on: if it learnt"),
        (NAMES[:2], "liver", NAMES[:2], "has none of the 2 cases"),
        (["a", "b"], "spleen", ["a", "b"], ""),
    ],
)
def test_no_case_of_the_training_is_taken_for_a_new_one_unsaid(
    caplog: pytest.LogCaptureFixture, there: list[str], title: str, found: list[str], warning: str
) -> None:
    caplog.set_level(logging.WARNING)  # trainings of other tests leave it at INFO
    assert names(cases_of_part([{"name": name} for name in there], FACTS, title, "test")) == found
    assert warning in caplog.text and bool(warning) == bool(caplog.records)


@pytest.mark.parametrize("facts", [{}, {"cases": {}}, {"data": "liver", "cases": {"test": []}}])
def test_a_network_that_tells_nothing(facts: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert cases_of_part(CASES, facts, "liver", "test") == CASES and not caplog.records
    with pytest.raises(DatasetError, match="does not know which cases of liver"):
        cases_of_part(CASES, facts, "liver")


def test_validation_cases_that_are_left(caplog: pytest.LogCaptureFixture) -> None:
    assert names(cases_of_part(CASES[1:], FACTS, "liver")) == ["case_1"]
    assert "has 1 of the 2 cases for validation" in caplog.text
    with pytest.raises(DatasetError, match="has none of the 2 cases that the network's weights were chosen by"):
        cases_of_part(CASES[2:], FACTS, "liver")
    # Other data have none, though a name may be the same.
    with pytest.raises(DatasetError, match="does not know which cases of spleen"):
        cases_of_part(CASES[:2], FACTS, "spleen")


@pytest.mark.parametrize("name", ["sshn_seg", "sshn_reg"])
def test_shipped_networks_name_the_cases_that_they_learned_from(name: str, shared_data: Path) -> None:
    facts = read_settings(default_bundle(name) / "models" / "model.json", NetworkSettings).provenance["cases"]
    cases = read_dataset(shared_data / "Task04_Hippocampus").cases
    # As the split was made before it was written down.
    for part, found in zip(split_cases(cases, (0.75, 0.05, 0.2), seed=0), facts.values(), strict=True):
        assert sorted(case["name"] for case in part) == sorted(found)


def test_other_files_are_noticed(tmp_path: Path) -> None:
    image, label = tmp_path / "a.nii", tmp_path / "b.png"
    image.write_bytes(bytes(range(256)) * 2**13)  # more than is read at once
    label.write_bytes(b"12")
    cases = [{"name": "a", "image": [str(image), str(image)], "label": str(label)}]
    before = fingerprint(cases)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (image, label)]
    files = [["a", [[digests[0]] * 2, [digests[1]]]]]
    assert before == hashlib.sha256(json.dumps(files).encode()).hexdigest()
    assert before != fingerprint([{**cases[0], "name": "c"}])
    label.write_bytes(b"21")  # of the same size
    other = fingerprint(cases)
    label.unlink()
    assert len({before, other, fingerprint(cases)}) == 3
