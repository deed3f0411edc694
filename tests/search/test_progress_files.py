import json
import logging
from pathlib import Path

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import InferenceCost
from monai_hyperscale.search.progress_files import ProgressFiles
from monai_hyperscale.search.workload import CaseResult

PLAN = {"data set": "liver", "grid of phi": [[0.1], [0.5, 0.25]]}
SCORES = {"a": CaseResult({"1": 0.9})}
COSTS = [InferenceCost(3, 4, None, (0.5, 0.25), {"reading": 0.5})]


@pytest.fixture
def files(tmp_path):
    """Return the files of a sweep that is under way."""
    files = ProgressFiles(tmp_path / "unfinished")
    files.begin(PLAN)
    files.write_cases((0.1,), SCORES)
    files.write_cases((0.5, 0.25), SCORES, process=1)
    files.write_cases((1e-5,), SCORES)
    files.write_costs({"machine": "m"}, COSTS)
    return files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_same_sweep_goes_on(files):
    before = {name: (files.folder / name).read_bytes() for name in names(files.folder)}
    files.begin({"data set": "liver", "grid of phi": [(0.1,), (0.5, 0.25)]})
    assert {name: (files.folder / name).read_bytes() for name in names(files.folder)} == before
    assert files.read_cases((0.5, 0.25), ["a", "b"], ["1"]) == SCORES
    assert files.read_costs({"machine": "m"}, 2) == COSTS and files.read_costs({"machine": "n"}, 2) == []
    with pytest.raises(FrontierError, match="an unfinished sweep with another data set;.* or start anew with --over"):
        files.begin({**PLAN, "data set": "spleen"})
    assert len(before) == len(names(files.folder)) == 5


def test_all_that_a_sweep_wrote_is_removed_and_the_folder_with_it(files):
    # As a kill leaves them, of every kind of file.
    for name in (".partial-ab12_xyz.json", ".partial-ab12cdef.25_p1.json"):
        (files.folder / name).write_text('{"ki')
    files.check()
    files.remove()
    assert not files.folder.exists()
    files.remove()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "mine"),
        ("plan.json", '{"trips": ["Rome"]}'),
        ("plan.json", "[1]"),
        ("costs.json", '{"rent": 900}'),
        ("phi_0.3.json", '{"phi": [0.3], "cases": {}}'),
        ("phi_meeting.json", "{"),
        (".git", None),
        ("phi_0.3.json", None),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_what_is_not_a_sweeps_is_refused_and_stays(tmp_path, name, content, begun):
    files = ProgressFiles(tmp_path / "unfinished")
    files.folder.mkdir()
    if begun and name != "plan.json":
        files.begin(PLAN)
    path = files.folder / name
    path.mkdir() if content is None else path.write_text(content)
    for refuse in (files.check, lambda: files.begin(PLAN)):
        with pytest.raises(FrontierError, match="holds what no sweep wrote") as caught:
            refuse()
        assert f"({name}); move it away, or name another folder with -o." in str(caught.value)
    files.remove()  # of a sweep during which it came
    assert names(files.folder) == [name]
    assert path.is_dir() if content is None else path.read_text() == content


def test_what_may_not_be_read_is_refused_and_stays(files, monkeypatch):
    plan, read = files.folder / "plan.json", Path.read_text

    def denied(path, **options):
        if path == plan:
            raise PermissionError
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(FrontierError, match=r"holds what no sweep wrote \(plan.json\)"):
        files.begin(PLAN)
    assert len(names(files.folder)) == 5


def test_a_file_or_a_link_in_the_folders_place_is_refused_and_stays(files, tmp_path):
    for name in "abcde":
        (tmp_path / name).write_text("")
    with pytest.raises(FrontierError, match=r"\(a, b, c, …\)"):
        ProgressFiles(tmp_path).check()
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(files.folder)
    file.write_text("mine")
    for path in (link, file):
        with pytest.raises(FrontierError, match=f"{path.name} does not hold an unfinished sweep; move it away"):
            ProgressFiles(path).begin(PLAN)
    assert len(names(files.folder)) == 5 and file.read_text() == "mine"


@pytest.mark.parametrize("damage", ["", '{"kind": "unfin', None])
def test_a_damaged_plan_starts_anew_and_says_so(files, caplog, damage):
    plan = files.folder / "plan.json"
    plan.unlink() if damage is None else plan.write_text(damage)
    with caplog.at_level(logging.WARNING):
        files.begin(PLAN)
    state = "gone" if damage is None else "damaged"
    assert caplog.messages == [f"{plan} is {state}, so what was measured for it is not used: the sweep starts anew."]
    assert names(files.folder) == ["plan.json"] and json.loads(plan.read_text())["data set"] == "liver"


def test_nothing_is_said_of_an_empty_folder_or_a_first_file_that_was_never_whole(tmp_path, caplog):
    files = ProgressFiles(tmp_path / "unfinished")
    files.folder.mkdir()
    (files.folder / ".partial-12345678.json").write_text("")
    files.begin(PLAN)
    assert names(files.folder) == ["plan.json"] and not caplog.messages


def test_files_of_a_file_manager_are_in_nobodys_way_and_stay(files):
    files.begin(PLAN)
    (files.folder / ".DS_Store").write_bytes(b"\0Bud1")
    (files.folder / ".partial-0a1b.5e-05.json").write_text("{")  # of a kill, at a phi of many digits
    files.check()
    files.remove()
    assert [path.name for path in files.folder.iterdir()] == [".DS_Store"]
