import hashlib
import json

import pytest

from monai_hyperscale.data import split_cases
from monai_hyperscale.data.unseen import digest
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.search.cases import cases_of_part, fingerprint

CASES = [{"name": f"case_{number:02d}"} for number in range(40)]
TRAIN, VALIDATION, TEST = split_cases(CASES, (0.75, 0.05, 0.2), seed=3)


def provenance(**changes):
    names = [case["name"] for case in TEST]
    counts = {"train": len(TRAIN), "validation": len(VALIDATION), "test": len(TEST)}
    return {"data": "liver", "test_cases": names, "cases": counts, "split_seed": 3, **changes}


def test_parts_are_those_of_the_training():
    assert cases_of_part(CASES, provenance(), "liver") == TEST
    assert cases_of_part(CASES, provenance(), "liver", "validation") == VALIDATION
    assert cases_of_part(CASES, provenance(), "liver", "all") == CASES


def test_a_renamed_folder_is_known_by_its_cases():
    facts = provenance(all_cases=digest(sorted(case["name"] for case in CASES)))
    assert cases_of_part(CASES, facts, "renamed") == TEST


@pytest.mark.parametrize(
    "facts", [{}, provenance(data="spleen", test_cases=["other"]), provenance(test_cases=["gone"])]
)
def test_of_other_data_all_cases_are_test_cases(facts):
    assert cases_of_part(CASES, facts, "liver") == CASES
    with pytest.raises(DatasetError, match="does not know which cases of liver"):
        cases_of_part(CASES, facts, "liver", "validation")


@pytest.mark.parametrize("changes", [{"split_seed": 4}, {"cases": None}, {"cases": {"train": 1}}])
def test_validation_cases_that_cannot_be_told_are_not_guessed(changes):
    with pytest.raises(DatasetError, match="cannot be told"):
        cases_of_part(CASES, provenance(**changes), "liver", "validation")


def test_validation_cases_of_a_folder_that_lost_some_are_not_guessed():
    facts = provenance(test_cases=[TEST[0]["name"], "gone"])
    assert cases_of_part(CASES, facts, "liver") == [TEST[0]]
    with pytest.raises(DatasetError, match="cannot be told"):
        cases_of_part(CASES, facts, "liver", "validation")


def test_other_files_are_noticed(tmp_path):
    image, label = tmp_path / "a.png", tmp_path / "b.png"
    image.write_bytes(b"123")
    label.write_bytes(b"1")
    cases = [{"name": "a", "image": [str(image), str(image)], "label": str(label)}]
    before = fingerprint(cases)
    assert before == fingerprint(cases) != fingerprint([{**cases[0], "name": "c"}])
    label.write_bytes(b"12")
    longer = fingerprint(cases)
    label.write_bytes(b"21")  # of the same size
    other = fingerprint(cases)
    image.write_bytes(b"321")
    assert len({before, longer, other, fingerprint(cases)}) == 4 and len(before) == 64
    label.write_bytes(b"1")
    image.write_bytes(b"123")
    assert fingerprint(cases) == before
    label.unlink()
    assert fingerprint(cases) != before


def test_the_fingerprint_is_of_the_contents(tmp_path):
    image, content = tmp_path / "a.nii", bytes(range(256)) * 2**13  # more than is read at once
    image.write_bytes(content)
    files = [["a", [[hashlib.sha256(content).hexdigest()], []]]]
    assert fingerprint([{"name": "a", "image": str(image)}]) == hashlib.sha256(json.dumps(files).encode()).hexdigest()
