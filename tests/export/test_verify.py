import math

import pytest
import torch

from monai_hyperscale.export.verify import TOLERANCE, compare


def test_the_difference_is_in_units_of_the_largest_value():
    x = torch.zeros(1, 2, 3, 3)
    x[0, 0, 1, 1] = -20.0
    agreement = compare(lambda x: x, lambda x: x + 0.001, [x])
    assert agreement.difference == pytest.approx(0.001 / 20, rel=1e-3)
    assert agreement.holds and agreement.difference < TOLERANCE
    assert not compare(lambda x: x, lambda x: x + 0.01, [x]).holds


def test_labels_are_counted():
    x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]]])
    other = x.clone()
    other[0, :, 0, 0] = torch.tensor([2.0, 0.0])
    assert compare(lambda _: x, lambda _: other, [x]).labels == 0.75
    assert compare(lambda _: x, lambda _: other, [x], labels=False).labels is None


@pytest.mark.parametrize("candidate", [lambda x: x[..., :-1], lambda x: x * math.nan, lambda x: x + math.inf])
def test_what_cannot_be_compared_does_not_agree(candidate):
    agreement = compare(lambda x: x, candidate, [torch.rand(1, 2, 4, 4)])
    assert agreement.difference == math.inf and not agreement.holds


def test_the_second_run_counts():
    runs = []

    def candidate(x):
        runs.append(x)
        return x if len(runs) % 2 else x + 1

    assert not compare(lambda x: x, candidate, [torch.rand(1, 2, 4)]).holds


def test_there_must_be_an_image():
    with pytest.raises(ValueError, match="an image"):
        compare(torch.neg, torch.neg, [])
