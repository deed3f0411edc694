from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.io import load_weights, save_atomically


class Stranger:
    """An object of a class that a weights file has no business to hold."""


def test_round_trip(tmp_path: Path) -> None:
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}
    save_atomically(weights, tmp_path / "model.pt")
    loaded = load_weights(tmp_path / "model.pt")
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    assert loaded["b"].dtype == torch.float16


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights at .*train first"):
        load_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("kept", [0, 10, 400, -20])
def test_damaged_file_is_one_sentence(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.pt"
    save_atomically({"a": torch.rand(100)}, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="damaged or not a weights file") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def test_objects_with_code_are_refused(tmp_path: Path) -> None:
    torch.save({"a": Stranger()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"damaged or not a weights file: .* save the network's state_dict\(\)"):
        load_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [b"epoch 3: loss 0.2", b"hello\n", b"\x80\x02", b"(((", b"\x80\x04\x95" + bytes(9)])
def test_other_files_are_told_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged or not a weights file.*; restore it or train again") as caught:
        load_weights(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_a_bare_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="dictionary of tensors, got Tensor"):
        load_weights(tmp_path / "model.pt")
