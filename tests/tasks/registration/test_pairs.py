from __future__ import annotations

import itertools

import pytest

from monai_hyperscale.data import split_cases
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.tasks.registration.pairs import Pair, PairList, RegistrationImages, split_pairs


def _cases(count):
    return [{"name": f"{n:03d}", "image": f"{n:03d}.nii.gz"} for n in range(count)]


def _images(count, pairs=None):
    listed = None if pairs is None else tuple(Pair(*pair) for pair in pairs)
    return RegistrationImages(_cases(count), ("MRI",), {}, 3, (), listed)


def _names(pairs):
    return [(pair["moving"]["name"], pair["fixed"]["name"]) for pair in pairs]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_every_ordered_pair_is_there_once(count):
    cases = _cases(count)
    expected = list(itertools.permutations((case["name"] for case in cases), 2))
    pairs = PairList(cases)
    assert (len(pairs), _names(pairs)) == (len(expected), expected)
    with pytest.raises(IndexError):
        pairs[len(expected)]


def test_list_behaves_as_a_sequence():
    pairs = PairList(_cases(3))
    assert pairs[-1] == pairs[5] and pairs[1:3] == [pairs[1], pairs[2]]
    assert pairs[0] == {"moving": pairs.cases[0], "fixed": pairs.cases[1], "name": "000 to 001"}
    assert not pairs.has_fields


def test_fields_and_labels_count_only_where_all_have_them():
    cases = [{**case, "label": "l.nii.gz"} for case in _cases(3)]
    known = Pair(0, 1, "u.nii.gz")
    assert PairList(cases, (known,)).has_fields and not PairList(cases, (known, Pair(1, 2))).has_fields
    assert PairList(cases, (known,))[0]["field"] == "u.nii.gz" and "field" not in PairList(cases, (Pair(0, 1),))[0]


@pytest.mark.parametrize("count", [1, 5, 10, 19, 20, 33])
def test_drawn_pairs_are_different_and_spread_over_the_cases(count):
    pairs = PairList(_cases(5))
    drawn = _names(pairs.sample(count, seed=3))
    assert len(drawn) == len(set(drawn)) == min(count, 20)
    assert set(drawn) <= set(_names(pairs))
    for place in (0, 1):
        times = [sum(pair[place] == f"{n:03d}" for pair in drawn) for n in range(5)]
        assert max(times) - min(times) <= 1
    assert drawn == _names(pairs.sample(count, seed=3))


def test_drawing_depends_on_the_seed_and_keeps_fields():
    pairs = PairList(_cases(9))
    assert _names(pairs.sample(6, seed=0)) != _names(pairs.sample(6, seed=1))
    assert pairs.sample(None) is pairs
    listed = PairList(_cases(6), tuple(Pair(n, n + 1, f"{n}.nii.gz") for n in range(5)))
    drawn = listed.sample(2, seed=0)
    assert len(drawn) == 2 and len(drawn.cases) <= 4
    for pair in drawn:
        assert pair["field"] == f"{int(pair['moving']['name'])}.nii.gz"
        assert int(pair["fixed"]["name"]) == int(pair["moving"]["name"]) + 1


def test_many_cases_take_no_memory():
    cases = [{}] * 100_000
    assert len(PairList(cases)) == 100_000 * 99_999
    assert PairList(cases).pair(-1) == Pair(99_999, 99_998)
    assert len(PairList(cases).sample(10)) == 10


def _check_parts(images, parts, complete=True):
    """Parts share no case but an atlas, and every pair of a part is one of the images' own."""
    together = [_names(part) for part in parts]
    assert set().union(*together) <= set(_names(images.pair_list))
    if complete:
        assert sum(len(part) for part in parts) == len(images.pair_list)


def test_cases_are_split_as_those_of_a_segmentation():
    images = _images(200)
    parts = split_pairs(images, (0.75, 0.05, 0.2), seed=0)
    assert [part.cases for part in parts] == list(split_cases(images.cases, (0.75, 0.05, 0.2), seed=0))
    assert [len(part) for part in parts] == [150 * 149, 10 * 9, 40 * 39]
    assert split_pairs(images, seed=1)[2].cases != parts[2].cases


@pytest.mark.parametrize("count", [6, 7, 13])
def test_no_test_case_is_in_a_training_pair(count):
    parts = split_pairs(_images(count), (0.75, 0.05, 0.2), seed=count)
    names = [{name for pair in _names(part) for name in pair} for part in parts]
    assert min(len(part) for part in parts) >= 2
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert sum(len(part.cases) for part in parts) == count


def test_a_part_may_be_empty():
    parts = split_pairs(_images(4), (0.5, 0, 0.5))
    assert [len(part) for part in parts] == [2, 0, 2]
    with pytest.raises(DatasetError, match="3 images cannot be split into 2 parts with a pair each; at least 4"):
        split_pairs(_images(3), (0.5, 0, 0.5))


def test_listed_pairs_of_one_patient_stay_together():
    # Patients of three scans each, all scans of a patient in a chain.
    pairs = [(3 * n + k, 3 * n + k + 1) for n in range(10) for k in (0, 1)]
    images = _images(30, pairs)
    parts = split_pairs(images, (0.6, 0.2, 0.2), seed=0)
    _check_parts(images, parts)
    assert [len(part) for part in parts] == [12, 4, 4]
    patients = [{int(case["name"]) // 3 for case in part.cases} for part in parts]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]


@pytest.mark.parametrize("atlas_moves", [False, True])
def test_an_atlas_serves_all_parts(atlas_moves):
    images = _images(11, [(4, n) if atlas_moves else (n, 4) for n in range(11) if n != 4])
    parts = split_pairs(images, (0.6, 0.2, 0.2))
    _check_parts(images, parts)
    assert [len(part) for part in parts] == [6, 2, 2]
    for part in parts:
        assert {pair["moving" if atlas_moves else "fixed"]["name"] for pair in part} == {"004"}


def test_pairs_across_parts_are_left_out_where_everything_is_tied(caplog):
    images = _images(12, list(itertools.permutations(range(12), 2)))
    parts = split_pairs(images, (0.5, 0.25, 0.25))
    _check_parts(images, parts, complete=False)
    assert [len(part) for part in parts] == [30, 6, 6]
    assert "90 of 132 listed pairs are left out" in caplog.text
    assert not {c["name"] for c in parts[0].cases} & {c["name"] for c in parts[2].cases}


def test_too_few_listed_pairs_are_refused():
    with pytest.raises(DatasetError, match="3 listed pairs cannot be split into 3 parts by case"):
        split_pairs(_images(4, [(0, 1), (1, 2), (2, 3)]))
    with pytest.raises(DatasetError, match="cannot be split"):
        split_pairs(_images(2, [(0, 1), (1, 0)]))
    parts = split_pairs(_images(2, [(0, 1), (1, 0)]), (0, 0, 1))
    assert _names(parts[2]) == [("000", "001"), ("001", "000")]
