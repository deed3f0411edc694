from __future__ import annotations

import stat
from pathlib import Path

import pytest

from monai_hyperscale.io import replacing, write_text


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
