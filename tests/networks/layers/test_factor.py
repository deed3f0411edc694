from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks.layers import as_factors, check_factor, current_factor, rescaling_factor


@pytest.mark.parametrize(
    "phi",
    [0.25, Fraction(1, 4), np.float32(0.25), np.array(0.25), torch.tensor(0.25), torch.tensor([0.25])],
    ids=lambda phi: type(phi).__name__,
)
def test_numbers(phi: Any) -> None:
    value = check_factor(phi)
    assert value == 0.25 and type(value) is float
    assert as_factors(phi) == (0.25,)
    assert [check_factor(phi) for phi in (0, 1, -0.0, np.int64(1), torch.tensor(1))] == [0, 1, 0, 1, 1]


@pytest.mark.parametrize(
    "phi",
    [
        *(-0.001, 1.001, -1, 2, math.nan, math.inf, -math.inf, torch.tensor(math.nan), np.float32(1.5)),
        *("0.5", "half", b"0.5", True, False, np.True_, torch.tensor(True), None, 1j, {}, object()),
    ],
    # The same in every process: the repr of an object has its address.
    ids=lambda phi: "object" if type(phi) is object else repr(phi),
)
def test_what_is_no_factor(phi: Any) -> None:
    for check in (check_factor, as_factors, lambda value: as_factors([0.5, value])):
        with pytest.raises(PhiError, match="phi must be a number between 0 and 1"):
            check(phi)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_sequences(kind: Any) -> None:
    assert as_factors(kind([0.5, 0.25])) == (0.5, 0.25)
    assert as_factors(kind([0.5])) == (0.5,)
    with pytest.raises(PhiError):
        as_factors(kind([]))
    with pytest.raises(PhiError):
        as_factors(kind([[0.5, 0.25], [0.5, 0.25]]))


def test_message_says_what_came() -> None:
    with pytest.raises(PhiError, match=r"between 0 and 1, got '0.5' \(str\)"):
        check_factor("0.5")
    with pytest.raises(PhiError, match=r"between 0 and 1, got 2.0"):
        check_factor(2)


def test_other_threads_see_nothing() -> None:
    with rescaling_factor(0.5), ThreadPoolExecutor(1) as pool:
        with pytest.raises(PhiError, match="no rescaling factor"):
            pool.submit(current_factor, 0).result()
