from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet import GENERATORS, MLPGenerator, build_generator


@pytest.mark.parametrize("name", GENERATORS)
def test_names(name: str) -> None:
    assert type(build_generator(name)) is GENERATORS[name]


def test_default_is_the_perceptron() -> None:
    assert isinstance(build_generator(), MLPGenerator)


@pytest.mark.parametrize(
    "text",
    [
        '{"hidden": [10, 8], "head_scale": 0.3}',
        '{"name": "mlp", "hidden": [4], "encoding": "identity", "activation": ["leakyrelu", {"negative_slope": 0.2}]}',
        '{"name": "linear", "encoding": "complement", "head_scale": 1}',
        '{"name": "spline", "anchors": [0, 0.2, 0.5], "basis": "cubic"}',
        '{"name": "film", "hidden": [8, 4], "activation": "tanh"}',
        '{"name": "constant"}',
    ],
)
def test_from_plain_data(text: str) -> None:
    generator = build_generator(**json.loads(text))
    generator.bind({"weight": torch.randn(2, 3), "bias": torch.randn(2)})
    assert generator(torch.tensor([0.2]))["weight"].shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "gan"}, "one of mlp, linear, spline, film, constant, got 'gan'"),
        ({"name": "os.system"}, "must be one of"),
        ({"name": "mlp", "depth": 3}, "'mlp' has no option 'depth'; its options are hidden, encoding"),
        ({"name": "constant", "hidden": [3]}, "'constant' has no option 'hidden'; it has none"),
        ({"name": "mlp", "hidden": []}, "'mlp' cannot be built from .*at least one width"),
        ({"name": "mlp", "hidden": 3}, "'mlp' cannot be built"),
        ({"name": "mlp", "activation": "step"}, "activation must be"),
        ({"name": "mlp", "activation": ["leakyrelu", {"slope": 1}]}, "activation must be"),
        ({"name": "linear", "encoding": "fourier"}, "encoding must be"),
        ({"name": "spline", "anchors": [0.5]}, "anchors must be"),
        ({"name": "spline", "anchors": "abc"}, "'spline' cannot be built"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_generator(**options)
