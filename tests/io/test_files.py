from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch

from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.io import load_weights, replacing, save_atomically, write_text


def test_file_appears_whole_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "sub" / "a.json", "é")
    assert (tmp_path / "sub" / "a.json").read_text(encoding="utf-8") == "é"
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_previous_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "scan.nii.gz"
    target.write_text("previous")
    with pytest.raises(error), replacing(target) as temporary:
        assert temporary.name.endswith(".nii.gz") and temporary.parent == tmp_path
        temporary.write_text("half")
        raise error
    assert target.read_text() == "previous"
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "atomic", "x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "original").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "original")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "original").read_text() == "kept"
    assert (tmp_path / "link").read_text() == "new" and not (tmp_path / "link").is_symlink()


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


def test_objects_with_code_are_refused(tmp_path: Path) -> None:
    torch.save({"a": Stranger()}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"damaged or not a weights file: .* save the network's state_dict\(\)"):
        load_weights(tmp_path / "model.pt")


OTHERS = (b"epoch 3: loss 0.2", b"hello\n", b"\x80\x02", b"(((", b"\x80\x04\x95" + bytes(9))


@pytest.mark.parametrize("content", [0, 10, 400, -20, *OTHERS])
def test_cut_and_other_files_are_told_in_one_sentence(tmp_path: Path, content: int | bytes) -> None:
    save_atomically({"a": torch.rand(100)}, tmp_path / "model.pt")
    whole = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[:content] if isinstance(content, int) else content)
    with pytest.raises(CheckpointError, match="damaged or not a weights file.*; restore it or train again") as caught:
        load_weights(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_a_bare_tensor_is_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="dictionary of tensors, got Tensor"):
        load_weights(tmp_path / "model.pt")
