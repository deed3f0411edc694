from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_hyperscale.hypernet import ComplementEncoding, IdentityEncoding, MLPGenerator
from monai_hyperscale.hypernet.encoding import encoding_layer


def test_complement() -> None:
    for phi in (0.0, 0.125, 0.5, 1.0):
        assert ComplementEncoding()(torch.tensor([phi])).tolist() == [phi, 1 - phi]
    encoded = ComplementEncoding()(torch.tensor([0.25, 0.75, 1.0]))
    assert encoded.tolist() == [0.25, 0.75, 1.0, 0.75, 0.25, 0.0]
    assert ComplementEncoding().width(3) == 6


def test_identity() -> None:
    assert IdentityEncoding()(torch.tensor([0.25, 0.75])).tolist() == [0.25, 0.75]
    assert IdentityEncoding().width(3) == 3
    # SAN: ε = 0.1·S/32.
    encoded = IdentityEncoding(scale=0.1 / 32)(torch.tensor([96.0, 224.0]))
    torch.testing.assert_close(encoded, torch.tensor([0.3, 0.7]))


def test_by_name() -> None:
    assert isinstance(encoding_layer("complement"), ComplementEncoding)
    assert isinstance(encoding_layer("identity"), IdentityEncoding)
    module = IdentityEncoding(3.0)
    assert encoding_layer(module) is module


@pytest.mark.parametrize("encoding", ["sine", "", None, 3])
def test_unknown_name(encoding: Any) -> None:
    with pytest.raises(ValueError, match="encoding must be"):
        MLPGenerator(encoding=encoding)
