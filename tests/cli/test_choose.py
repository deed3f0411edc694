from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.data import read_dataset, split_cases, write_synthetic_dataset
from monai_hyperscale.search import Frontier, FrontierRow, Interval, Latency, read_frontier
from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload
from tests.cli.commands import Run, Write


def row(phi: float, score: float, flops: float, seconds: float, cases: tuple[str, ...]) -> FrontierRow:
    interval = Interval(score, score - 0.01, score + 0.01)
    time = Latency(seconds, seconds, seconds, 9)
    return FrontierRow(
        (phi,), interval, flops, 10, time, 10**6, {"1": interval}, {name: {"1": score} for name in cases}
    )


def write_frontier(path: Path, shift: float = 0.0, part: str = "validation", cases: tuple[str, ...] = ("a",)) -> Path:
    rows = (
        row(0.1, 0.80 + shift, 1e9, 0.01, cases),
        row(0.3, 0.89 + shift, 2e9, 0.02, cases),
        row(0.5, 0.90 + shift, 4e9, 0.04, cases),
    )
    frontier = Frontier(
        "segmentation",
        {"name": "net", "weights_sha256": "0", "settings": {}},
        {"name": "liver", "part": part, "cases": list(cases)},
        {"1": "liver"},
        {"name": "Dice", "higher_is_better": True},
        {},
        {"metric": "dice"},
        rows,
        {"flops": (0, 1, 2)},
        {"flops": 0.5},
        {"flops": 1},
    )
    frontier.write(path)
    return path


@pytest.mark.parametrize(
    ("wishes", "phi", "why"),
    [
        (["--at-least", "dice>=0.85"], "0.3", "the least latency of 2 of 3 phi that meet dice>=0.85"),
        (["--within", "latency<=30ms"], "0.3", "the best Dice of 2 of 3 phi that meet latency<=30ms"),
        (["--at-least", "dice>=0.5", "--within", "memory<=2GB, flops<=3G"], "0.3", "the least memory of 2 of 3"),
        (["--maximize", "dice"], "0.5", "the best Dice of 3 phi\n"),
        (["--at-least", "dice>=0.85", "--maximize", "dice"], "0.5", "the best Dice of 2 of 3"),
        (["--at-least", "dice>=0.85", "--minimize", "flops"], "0.3", "the least flops of 2 of 3"),
    ],
)
def test_of_a_table(tmp_path: Path, run: Run, wishes: list[str], phi: str, why: str) -> None:
    path = write_frontier(tmp_path / "frontier.json")
    out = run("choose", path, *wishes).out
    assert out.startswith(f"phi = {phi}\n") and why in out
    # A frontier knows the bundle's name, but not where it lies.
    command = f"monai-hyperscale fold BUNDLE --phi {phi} -o OUT --dataset DIR"
    assert out.endswith(f"next: {command}  (BUNDLE: the folder of net, DIR: of liver)\n")
    assert "\n  working memory  1 MB (beside weights, image and process)\n" in out
    content = json.loads(run("choose", tmp_path, *wishes, "--json").out)
    assert content["phi"] == [float(phi)] and content["missed"] == [] and content["row"]["phi"] == [float(phi)]
    told = "chosen and scored on the same 1 validation case, which flatters the score; to confirm, add --confirm"
    assert f"\nnote: {told} with those of pareto --cases test.\n\nnext: " in out and content["note"].startswith(told)


def test_the_choice_is_confirmed_on_other_cases(tmp_path: Path, run: Run) -> None:
    source = write_frontier(tmp_path / "validation.json")
    test = write_frontier(tmp_path / "test.json", -0.03, "test", ("b", "c"))
    words = ["choose", source, "--at-least", "dice>=0.85", "--confirm"]
    said = run(*words, test)
    assert "confirmed on 2 test cases: meets the limits" in said.out and "0.8600 (95 %" in said.out
    assert "warning" not in said.err and "note: " not in said.out
    said = run("choose", source, "--at-least", "dice>=0.88", "--confirm", test, code=1)
    assert "\nnot confirmed on 2 test cases: misses dice>=0.88" in said.out
    # What the network costs was measured on another image there.
    slow = read_frontier(test)
    rows = tuple(replace(row, latency=Latency(1.0, 1.0, 1.0, 9)) for row in slow.rows)
    replace(slow, rows=rows).write(test)
    said = run(*words, test, "--within", "latency<=30ms")
    assert "\nconfirmed on 2 test cases: meets the limits" in said.out
    said = run(*words, source, "--json")
    assert "1 of the cases to confirm on are among those" in said.err
    assert json.loads(said.out)["confirmed"]["missed"] == [] and "note" not in json.loads(said.out)
    said = run("choose", test, "--at-least", "dice>=0.8")
    way = "choose on those of pareto --cases validation, with these as --confirm"
    told = "chosen and scored on the same 2 test cases, which flatters the score; to confirm,"
    assert f"note: {told} {way}.\n" in said.out
    assert said.err == (
        f"warning: {test} is of test cases; once phi is chosen by them they are validation cases, and no test cases "
        "are left.\n"
    )


def test_what_cannot_confirm_is_told(tmp_path: Path, run: Run) -> None:
    source, other = write_frontier(tmp_path / "a.json"), tmp_path / "b.json"
    frontier = read_frontier(source)
    few = {"rows": frontier.rows[:1], "pareto": {}, "knee": {}, "hypervolume": {}}
    for change, message in (({"labels": {"1": "spleen"}}, "other labels (1 spleen)"), (few, "has no phi = 0.3")):
        replace(frontier, **change).write(other)
        assert message in run("choose", source, "--at-least", "dice>=0.85", "--confirm", other, code=1).err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--within", "latncy<=40ms"], 2, "'latncy' is not known; did you mean latency?"),
        (["--within", "latency<=4ms"], 1, "no phi of 3 meets latency<=4ms; the nearest is phi = 0.1, which misses"),
        (["--at-least", "dice>=0.99", "--within", "flops<=9G"], 1, "the nearest is phi = 0.5"),
        ([], 2, "name a limit"),
        (["--within", "latency<=40ms", "--phi", "0.1", "--limit", "1"], 2, "--phi and --limit are for a bundle"),
        (["--within", "latency<=40ms", "--cases", "all"], 2, "--cases is for a bundle with --dataset"),
        (["--maximize", "dice", "--metric", "hd95", "--max-voxels", "9"], 2, "--metric and --max-voxels are for a bu"),
        (["--minimize", "dice"], 2, "dice is to be maximised; write --maximize dice"),
        (["--maximize", "flops"], 2, "flops is to be minimised; write --minimize flops"),
        (["--maximize", "dice", "--dataset", "."], 2, "was measured already"),
        (["--maximize", "dice", "--confirm", "none.json"], 2, "does not exist"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_sentence(
    tmp_path: Path, run: Run, arguments: list[str], code: int, message: str
) -> None:
    said = run("choose", write_frontier(tmp_path / "frontier.json"), *arguments, code=code)
    assert said.out == "" and len(said.err.splitlines()) == 1 and message in said.err


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=10, size=24, labels=2))


RARE = ["--evaluations", "5", "--device", "cpu"]


def test_of_a_bundle_by_measuring(
    write_bundle: Write, ten: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split_cases(read_dataset(ten).cases, (6, 2, 2), seed=0)
    names = [[case["name"] for case in part] for part in parts]
    facts = {"data": "shapes", "cases": dict(zip(("train", "validation", "test"), names, strict=True))}
    network = write_bundle(tmp_path / "net", 2, channels=("grey",), provenance=facts)
    measured: list[list[str]] = []
    measure = SegmentationWorkload.measure

    def counting(self: Any, index: int, network: Any) -> Any:
        measured.append(self.names[index])
        return measure(self, index, network)

    monkeypatch.setattr(SegmentationWorkload, "measure", counting)
    out = tmp_path / "measured.json"
    command = ["choose", str(network), "--dataset", str(ten), "--at-least", "dice>=0", "-o", str(out)]
    monkeypatch.setattr("sys.argv", ["monai-hyperscale", *command, *RARE])
    text = run(*command, *RARE).out
    frontier = read_frontier(out)
    # Chosen on the validation cases, of which the cheapest is found, and confirmed on the test cases.
    assert frontier.data["part"] == "validation" and set(frontier.data["cases"]) == set(names[1])
    assert "the least flops of" in text and "confirmed on 2 test cases" in text and f"fold {network} --phi" in text
    assert text.endswith(f" -o OUT --dataset {ten}\n")
    assert measured[-2:] == names[2] and set(measured[:-2]) == set(names[1]) and len(measured) <= 2 * 5 + 2
    assert frontier.rows[0].latency is None  # not asked for
    told = {"phi": "0:0.5:0.01", "sampler": "tpe", "evaluations": 5, "limits": ["dice>=0"], "minimize": "flops"}
    assert told.items() <= frontier.options.items() and frontier.options["repeats"] == 0
    # Without folders, as of pareto.
    assert frontier.options["command"] == ["monai-hyperscale", *(Path(word).name for word in command), *RARE]
    chosen = float(text.split()[2])
    # The choice and its confirmation are kept.
    kept = frontier.choice
    assert kept["phi"] == [chosen] and kept["missed"] == [] and kept["objective"]["quantity"] == "flops"
    assert [limit["text"] for limit in kept["limits"]] == ["dice>=0"] and "row" not in kept and "next" not in kept
    there = kept["confirmed"]
    assert there["data"]["part"] == "test" and there["data"]["cases"] == names[2] and there["missed"] == []
    assert there["row"]["phi"] == [chosen] and set(there["row"]["cases"]) == set(names[2])
    assert f"{there['row']['score']['mean']:.4f} (95 %" in text.partition("confirmed on 2 test cases")[2]
    met = [each for each in frontier.rows if each.score.mean is not None]
    assert frontier.row([chosen]).flops == min(each.flops for each in met)

    grid = ["--cases", "all", "--sampler", "grid", "--phi", "0.1,0.5", "--json"]
    content = json.loads(run(*command[:-2], *grid).out)
    assert content["considered"] == 2 and "confirmed" not in content
    assert content["note"].endswith("on the same 10 cases, which flatters the score; to confirm, leave --cases out")


def test_what_is_measured_is_kept_where_there_is_no_choice(
    network: Path, dataset: Path, tmp_path: Path, run: Run
) -> None:
    out = tmp_path / "measured.json"
    words = ["choose", network, "--dataset", dataset, "--cases", "test", "--phi", "0.1,0.5", "-o", out, "--limit", 1]
    assert "no phi of 2 meets dice>=1" in run(*words, "--at-least", "dice>=1", code=1).err
    frontier = read_frontier(out)
    assert frontier.choice is None and [row.phi for row in frontier.rows] == [(0.1,), (0.5,)]
    assert "choice" not in json.loads(out.read_text())
    # Nothing that is there is replaced unsaid, the tables neither.
    before = out.read_bytes()
    for name in (out, tmp_path / "measured.csv"):
        said = run(*words, "--at-least", "dice>=0", code=2)
        assert f"{name} exists already; add --overwrite" in said.err
        assert not out.exists() or out.read_bytes() == before
        out.unlink(missing_ok=True)
    run(*words, "--at-least", "dice>=0", "--overwrite")
    assert read_frontier(out).choice is not None
    assert "a bundle needs --dataset" in run("choose", network, "--at-least", "dice>=0.5", code=2).err
