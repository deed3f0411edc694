from __future__ import annotations

import numpy as np
import pytest

from monai_hyperscale.io.grids import laid_out


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(130, 65, 7), (1, 64, 129), (3, 70, 66, 2), (5,), ()])
def test_same_values_in_the_order_asked_for(shape: tuple[int, ...], order: str) -> None:
    values = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
    for array in (values, np.asfortranarray(values), values[::-1] if shape else values, values.T.copy().T):
        result = laid_out(array, order)
        assert np.array_equal(result, array) and result.dtype == np.int16
        assert result.flags.c_contiguous if order == "C" else result.flags.f_contiguous
    assert laid_out(result, order) is result
