from __future__ import annotations

import numpy as np
import pytest

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.tasks.registration.overlap import label_dice


@pytest.mark.parametrize("shape", [(9, 8), (7, 6, 5)])
def test_dice_is_that_of_the_formula(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.choice([0, 1, 4, 700], shape) for _ in range(2))
    second[second == 4] = 5
    dice = label_dice(first, second)
    assert list(dice) == [1, 4, 5, 700]
    for value, found in dice.items():
        a, b = first == value, second == value
        assert found == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_no_label_and_other_sizes() -> None:
    assert label_dice(np.zeros((3, 4)), np.zeros((3, 4))) == {}
    with pytest.raises(RegistrationError, match="on one grid"):
        label_dice(np.zeros((3, 4)), np.zeros((4, 3)))


def test_labels_beyond_32_bit_do_not_wrap() -> None:
    first, second = np.array([[1, 2**32 + 1, 2**40]]), np.array([[1, 1, 2**40]])
    assert label_dice(first, second) == {1: pytest.approx(2 / 3), 2**32 + 1: 0.0, 2**40: 1.0}
