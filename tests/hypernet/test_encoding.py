from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_hyperscale.hypernet import ComplementEncoding, IdentityEncoding
from monai_hyperscale.hypernet.encoding import encoding_layer


@pytest.mark.parametrize(
    ("encoding", "context", "expected"),
    [
        (ComplementEncoding(), [0.125], [0.125, 0.875]),
        (ComplementEncoding(), [0.25, 0.75, 1.0], [0.25, 0.75, 1.0, 0.75, 0.25, 0.0]),
        (IdentityEncoding(), [0.25, 0.75], [0.25, 0.75]),
        (IdentityEncoding(scale=0.1 / 32), [96.0, 224.0], [0.3, 0.7]),  # SAN: ε = 0.1·S/32
    ],
)
def test_values(encoding: Any, context: list[float], expected: list[float]) -> None:
    torch.testing.assert_close(encoding(torch.tensor(context)), torch.tensor(expected))
    assert encoding.width(len(context)) == len(expected)


def test_by_name() -> None:
    assert isinstance(encoding_layer("complement"), ComplementEncoding)
    module = IdentityEncoding(3.0)
    assert encoding_layer(module) is module
    for encoding in ("sine", "", None, 3):
        with pytest.raises(ValueError, match="encoding must be"):
            encoding_layer(encoding)  # type: ignore[arg-type]
