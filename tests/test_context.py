"""Named numbers: checked, spread over levels, compared with what was trained, and as keys."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from monai_hyperscale.context import Context, ContextNumber, ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.networks import ScaleSpaceUNet

SPEC = ContextSpec(ContextNumber("phi", 0.1, 0.4, count=3, first=2), ContextNumber("regularization", 0.2, 0.6))


def test_ways_to_give_several_values() -> None:
    values = [0.5, 0.25, 1]
    for given in (values, tuple(values), np.array(values), torch.tensor(values), [0.5, np.float32(0.25), 1]):
        assert SPEC["phi"].values(given) == (0.5, 0.25, 1.0)
        assert Context(phi=given) == {"phi": (0.5, 0.25, 1.0)}
    for wrong in ["0.5", True, None, math.nan, math.inf, 1.01, -0.01, [0.5, "a"], [], [[0.5]], 1j]:
        with pytest.raises(PhiError, match="^phi must be "):
            SPEC["phi"].values(wrong)  # type: ignore[arg-type]


def test_one_value_stands_for_all_levels() -> None:
    assert SPEC.width == 4
    assert SPEC.flat(SPEC(phi=0.3, regularization=0.5)) == (0.6, 0.3, 0.3, 0.5)
    assert SPEC.flat(SPEC(phi=0.7, regularization=0.5)) == (1.0, 0.7, 0.7, 0.5)  # not beyond the limit
    assert SPEC.flat(SPEC(phi=(0.9, 0.3, 0.1), regularization=0.5)) == (0.9, 0.3, 0.1, 0.5)
    for phi in ((0.1, 0.2), (0.1,) * 4):
        with pytest.raises(PhiError, match=r"phi must be one number or 3, one per level; got \d"):
            SPEC(phi=phi, regularization=0.5)


def test_networks_say_what_one_phi_stands_for() -> None:
    for rescale_input in (False, True):
        network = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4), rescale_input=rescale_input)
        number = network.context["phi"]
        assert number.count == network.levels == 2 + rescale_input
        assert number.spread(0.3) == network.per_level(0.3) == (0.6, 0.3, 0.3)[1 - rescale_input :]


def test_what_was_trained() -> None:
    phi = SPEC["phi"]
    assert phi.trained(0.1) and phi.trained(0.4) and not phi.trained(0.05) and not phi.trained(0.41)
    # The factor of a rescaled input is twice that of the levels.
    assert phi.trained((0.8, 0.4, 0.1)) and not phi.trained((0.1, 0.4, 0.1)) and not phi.trained((0.8, 0.5, 0.1))
    assert SPEC.trained(SPEC(phi=0.3, regularization=0.6)) and not SPEC.trained(SPEC(phi=0.3, regularization=0.7))


def test_contexts_are_keys() -> None:
    one, same, other = Context(phi=[0.5], regularization=0.1), Context(regularization=0.1, phi=0.5), Context(phi=0.5)
    assert one == same and hash(one) == hash(same) and one != other
    assert {one: 1, other: 2}[same] == 1
    assert (lambda phi, regularization: (phi, regularization))(**one) == (0.5, 0.1)
    assert one.several("phi") == (0.5,) and other.several("regularization") == ()
    with pytest.raises(TypeError):
        one["phi"] = 0.4  # type: ignore[index]


def test_numbers_without_value_and_unknown_ones() -> None:
    with pytest.raises(PhiError, match=r"call the network with regularization=\.\.\."):
        SPEC(phi=0.3)
    assert SPEC.with_defaults(regularization=0.3, phi=None)(phi=0.3) == {"phi": 0.3, "regularization": 0.3}
    with pytest.raises(PhiError, match=r"takes phi and regularization, not fi; leave it out"):
        SPEC(fi=0.3)
    with pytest.raises(PhiError, match=r"did you mean regularization\?"):
        SPEC.with_defaults(regularisation=0.3)
    with pytest.raises(PhiError, match="regularization must be a number between 0 and 1"):
        SPEC.with_defaults(regularization=2)


def test_numbers_and_specs_that_make_no_sense() -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"name": "2"}, "name of a number"),
        ({"count": 0}, "at least one value"),
        ({"low": 0.5, "high": 0.2}, "from low to high within 0 and 1, got 0.5 and 0.2"),
        ({"high": 1.5}, "within 0 and 1"),
        ({"default": 2.0}, "phi must be a number between 0 and 1"),
    ]
    for options, said in bad:
        with pytest.raises(ValueError, match=said):
            ContextNumber(**{"name": "phi", **options})
    for numbers in ((), (ContextNumber("phi"), ContextNumber("phi"))):
        with pytest.raises(ValueError, match="numbers of different names"):
            ContextSpec(*numbers)
