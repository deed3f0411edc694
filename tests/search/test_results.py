import csv
import json
from dataclasses import replace

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import Interval, read_frontier
from monai_hyperscale.search.results import row_as_dict
from monai_hyperscale.search.tables import print_frontier


def test_what_is_written_is_read(frontier, tmp_path):
    frontier.write(tmp_path / "frontier.json")
    assert read_frontier(tmp_path / "frontier.json") == read_frontier(tmp_path) == frontier
    content = json.loads((tmp_path / "frontier.json").read_text())
    assert (content["format"], content["kind"], content["rows"][1]["phi"]) == (1, "frontier", [0.1])
    assert frontier.row([0.1 + 1e-9]) is frontier.rows[1] and frontier.row([0.2]) is None
    assert content["rows"][0]["latency"] == {"median": 0.01, "low": 0.9 * 0.01, "high": 1.1 * 0.01, "runs": 9}


def test_a_choice_is_kept_and_may_be_missing(frontier, tmp_path):
    frontier.write(tmp_path / "before.json")
    assert "choice" not in json.loads((tmp_path / "before.json").read_text())
    confirmed = {"data": {**frontier.data, "part": "test"}, "row": row_as_dict(frontier.rows[1])}
    chosen = replace(frontier, choice={"phi": [0.1], "limits": [], "confirmed": confirmed})
    chosen.write(tmp_path / "f.json")
    found = read_frontier(tmp_path / "f.json")
    assert found.choice["confirmed"]["row"]["score"] == {"mean": 0.86, "low": 0.85, "high": 0.87}
    assert found == replace(chosen, choice=json.loads(json.dumps(chosen.choice)))


def test_rows_of_registration_and_of_what_was_not_measured(frontier, tmp_path):
    extra = {"before": Interval(0.5, 0.4, 0.6), "folded": Interval(0.01, None, None)}
    nothing = {"latency": None, "memory": None, "score": Interval(None, None, None)}
    rows = [replace(row, **nothing, extra=extra) for row in frontier.rows]
    changed = replace(frontier, task="registration", rows=tuple(rows), pareto={}, knee={}, hypervolume={})
    changed.write(tmp_path / "f.json")
    assert read_frontier(tmp_path / "f.json") == changed


def test_the_tables_hold_the_same_numbers(frontier, tmp_path):
    frontier.write(tmp_path / "f.json")
    with open(tmp_path / "f.csv") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["score"]) for line in lines] == [0.7, 0.86, 0.85, 0.9]
    assert lines[1]["phi"] == "0.1" and lines[1]["latency_s"] == "0.02" and float(lines[1]["liver_low"]) == 0.85
    assert [line["pareto_flops"] for line in lines] == ["1", "1", "0", "1"]
    with open(tmp_path / "f_cases.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 2
    assert lines[2] == {"phi": "0.1", "case": "a", "label": "1", "name": "liver", "score": "0.86"}
    assert lines[3]["score"] == ""


def test_a_table_says_where_every_phi_scores_nothing(frontier, capsys):
    nothing = replace(frontier, rows=[replace(row, score=Interval(0.0, 0.0, 0.0)) for row in frontier.rows])
    for each, said in ((frontier, False), (nothing, True)):
        print_frontier(each)
        assert ("Every phi scores 0" in capsys.readouterr().out) is said


def test_labels_of_one_name_or_of_a_columns_have_columns_of_their_own(frontier, tmp_path):
    rows = [replace(row, labels={v: Interval(int(v) / 10, 0, 1) for v in "123"}) for row in frontier.rows]
    replace(frontier, labels={"1": "left", "2": "left", "3": "score"}, rows=rows).write(tmp_path / "f.json")
    with open(tmp_path / "f.csv") as file:
        line = next(csv.DictReader(file))
    labels = {"1": "tumour", "2": "tumour_low", "3": "liver"}
    replace(frontier, labels=labels, rows=rows).write(tmp_path / "g.json")
    with open(tmp_path / "g.csv") as file:
        assert {"tumour (1)", "tumour_low (2)", "liver", "liver_low"} <= set(next(csv.reader(file)))
    assert (line["left (1)"], line["left (2)"], line["score (3)"], line["score"]) == ("0.1", "0.2", "0.3", "0.7")


def changed(content, *path, value):
    *inner, last = path
    for key in inner:
        content = content[key]
    content[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("kind",), "report", "expected a JSON object of kind \"frontier\", got kind 'report'"),
        (("format",), 7, "its format is 7, expected 1"),
        (("task",), "cooking", "task: expected one of .*, got 'cooking'"),
        (("rows",), [], r"rows: .*at least 1 item"),
        (("rows", 1, "flops"), "many", r"rows\[1\]\.flops: .*valid number, got 'many'"),
        (("rows", 1, "flops"), -1, "greater than or equal to 0, got -1"),
        (("rows", 1, "phi"), [1.5], r"rows\[1\]\.phi\[0\]: .*less than or equal to 1, got 1.5"),
        (("rows", 1, "phi"), [0.0], "same phi as another"),
        (("rows", 1, "latency"), {"median": 1}, r"rows\[1\]\.latency\.low is missing"),
        (("rows", 2, "labels"), {}, "labels are not those of the file"),
        (("rows", 2, "cases"), {"a": {"1": 0.5}}, "cases are not those"),
        (("rows", 0, "cases", "a"), {"2": 0.5}, "not its labels"),
        (("pareto", "flops"), [0, 4], "pareto.flops names a row that is not there"),
        (("knee", "memory"), 9, "knee.memory names a row"),
        (("choice",), {"phi": [0.1], "confirmed": {}}, "choice.confirmed.(data|row) is missing"),
        (("knee", "flops"), True, "knee.flops: .*valid integer, got True"),
        (("labels",), {"<b>": "x"}, "labels.<b>: "),
        (("data", "cases"), "a", "data.cases: .*valid list, got 'a'"),
        (("rows", 0, "score", "mean"), 10**400, "score.mean: "),
    ],
)
def test_wrong_content_is_told_in_one_sentence(frontier, tmp_path, path, value, message):
    content = json.loads(json.dumps(frontier.as_dict()))
    changed(content, *path, value=value)
    (tmp_path / "f.json").write_text(json.dumps(content))
    with pytest.raises(FrontierError, match=message) as caught:
        read_frontier(tmp_path / "f.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2", '{"kind": NaN}', "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass"), "1" * 5000]
)
def test_damaged_files_are_told(tmp_path, text):
    path = tmp_path / "f.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FrontierError, match="damaged or cut off|not a frontier"):
        read_frontier(path)


def test_incomplete_and_missing_files_are_told(frontier, tmp_path):
    path = tmp_path / "frontier.json"
    frontier.write(path)
    text = path.read_text()
    for share in (0.1, 0.5, 0.99):
        path.write_text(text[: int(share * len(text))])
        with pytest.raises(FrontierError, match="damaged or cut off"):
            read_frontier(tmp_path)
    for key in ("rows", "bundle", "data", "metric", "pareto", "knee", "hypervolume", "options"):
        path.write_text(json.dumps({name: value for name, value in frontier.as_dict().items() if name != key}))
        with pytest.raises(FrontierError, match=f"{key} is missing"):
            read_frontier(path)
    with pytest.raises(FrontierError, match="there is no frontier"):
        read_frontier(tmp_path / "other.json")
