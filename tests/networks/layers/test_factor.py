from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.layers import as_factors, check_factor


def test_what_is_a_factor() -> None:
    numbers: list[Any] = [0.25, Fraction(1, 4), np.float32(0.25), np.array(0.25), torch.tensor(0.25)]
    for phi in [*numbers, torch.tensor([0.25])]:
        value = check_factor(phi)
        assert value == 0.25 and type(value) is float
        assert as_factors(phi) == (0.25,)
    assert [check_factor(phi) for phi in (0, 1, -0.0, np.int64(1), torch.tensor(1))] == [0, 1, 0, 1, 1]
    for kind in (list, tuple, np.array, torch.tensor):
        assert as_factors(kind([0.5, 0.25])) == (0.5, 0.25) and as_factors(kind([0.5])) == (0.5,)


def test_what_is_no_factor() -> None:
    numbers = [-0.001, 1.001, -1, 2, math.nan, math.inf, -math.inf, torch.tensor(math.nan), np.float32(1.5)]
    others = ["0.5", "half", b"0.5", True, False, np.True_, torch.tensor(True), None, 1j, {}, object()]
    wrong: list[Any] = [*numbers, *others]
    for phi in wrong:
        for check in (check_factor, as_factors, lambda value: as_factors([0.5, value])):
            with pytest.raises(PhiError, match="phi must be a number between 0 and 1"):
                check(phi)
    for kind in (list, tuple, np.array, torch.tensor):
        for several in ([], [[0.5, 0.25], [0.5, 0.25]]):
            with pytest.raises(PhiError):
                as_factors(kind(several))
    for phi, told in (("0.5", r"got '0.5' \(str\)"), (2, "got 2.0")):
        with pytest.raises(PhiError, match=f"between 0 and 1, {told}"):
            check_factor(phi)
