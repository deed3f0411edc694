from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.hypernet import ComplementEncoding, IdentityEncoding, MLPGenerator
from monai_hyperscale.hypernet.encoding import encoding_layer


@pytest.mark.parametrize("phi", [0.0, 0.125, 0.5, 1.0])
def test_complement(phi: float) -> None:
    assert ComplementEncoding()(torch.tensor([phi])).tolist() == [phi, 1 - phi]


def test_complement_of_several() -> None:
    encoded = ComplementEncoding()(torch.tensor([0.25, 0.75, 1.0]))
    assert encoded.tolist() == [0.25, 0.75, 1.0, 0.75, 0.25, 0.0]
    assert ComplementEncoding().width(3) == 6


def test_identity() -> None:
    assert IdentityEncoding()(torch.tensor([0.25, 0.75])).tolist() == [0.25, 0.75]
    assert IdentityEncoding().width(3) == 3
    # SAN: ε = 0.1·S/32.
    encoded = IdentityEncoding(scale=0.1 / 32)(torch.tensor([96.0, 224.0]))
    torch.testing.assert_close(encoded, torch.tensor([0.3, 0.7]))


@pytest.mark.parametrize("encoding", [ComplementEncoding(), IdentityEncoding()])
def test_every_factor_has_its_own_encoding(encoding: nn.Module) -> None:
    codes = torch.stack([encoding(torch.tensor([i / 20], dtype=torch.float64)) for i in range(21)])
    distances = torch.cdist(codes, codes) + torch.eye(21)
    assert distances.min() > 0.02


def test_by_name() -> None:
    assert isinstance(encoding_layer("complement"), ComplementEncoding)
    assert isinstance(encoding_layer("identity"), IdentityEncoding)
    module = IdentityEncoding(3.0)
    assert encoding_layer(module) is module


@pytest.mark.parametrize("encoding", ["sine", "", None, 3])
def test_unknown_name(encoding: Any) -> None:
    with pytest.raises(ValueError, match="encoding must be"):
        MLPGenerator(encoding=encoding)
