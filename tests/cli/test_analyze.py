from __future__ import annotations

import itertools
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.search import read_frontier
from monai_hyperscale.search.workload import open_workload
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.cli.commands import Run, Write, files
from tests.saved import save_network

FIXED: dict[str, Any] = {"method": "fixed", "generator": {"name": "constant"}, "phi_range": (0.5, 0.5)}


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    folder = tmp_path / "fixed"
    labels = {1: "Anterior", 2: "Posterior"}
    settings = SegmentationSettings(2, ("grey",), labels, network={"features": (4, 4, 4)}, **FIXED)
    save_network(folder / "models", settings, seed=1)
    return folder


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_variation(network: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "new" / "out"
    lines = run("analyze", "variation", network, "-o", out).out.splitlines()
    assert files(out) == ["variation.json", "variation.png", "variation.svg"]
    written = content(out / "variation.json")
    assert written["phi"] == [[round(0.05 * place, 9)] for place in range(11)]
    assert written["command"] == ["monai-hyperscale", "analyze", "variation", network.name, "-o", "out"]
    assert written["weights_sha256"] == sha256((network / "models" / "model.pt").read_bytes()).hexdigest()
    assert written["machine"]["device"] == "cpu"
    assert lines[0].split()[:2] == ["layer", "weights"] and len(lines) == 1 + len(written["layers"])
    last = written["layers"][-1]
    assert lines[-1].split()[:3] == [last["layer"], str(last["weights"]), f"{last['median']:.3g}"]
    assert last["layer"] == "body.final" and "body.final" in (out / "variation.svg").read_text(encoding="utf-8")
    assert str(tmp_path) not in (out / "variation.json").read_text(encoding="utf-8")
    # What is there is kept, unless told otherwise.
    again = ["analyze", "variation", network, "-o", out, "--phi", "0.1,0.4"]
    assert "already; add --overwrite" in run(*again, code=2).error
    run(*again, "--overwrite")
    assert content(out / "variation.json")["phi"] == [[0.1], [0.4]]


def test_variation_of_registration_and_over_factors_per_level(
    registration_bundle: Path, write_bundle: Write, tmp_path: Path, run: Run
) -> None:
    run("analyze", "variation", registration_bundle, "-o", tmp_path)
    assert content(tmp_path / "variation.json")["layers"][-1]["layer"] == "head.flow"
    bundle = write_bundle(tmp_path / "net", 2, per_level=True)
    run("analyze", "variation", bundle, "-o", bundle, "--phi", "0.1,0.5x0.1,0.5")
    assert content(bundle / "variation.json")["phi"] == [[0.1, 0.1], [0.1, 0.5], [0.5, 0.1], [0.5, 0.5]]


def test_transfer(network: Path, fixed: Path, dataset: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    more = ["--phi", "0.2,0.5,0.6", "--weights-phi", "0.2,0.5", "--limit", "2", "--bootstrap", "50"]
    words = ["analyze", "transfer", network, "--dataset", dataset, "-o", out, *more]
    title, header, *lines = run(*words, "--fixed", fixed, "--metric", "iou").out.splitlines()
    assert files(out) == ["transfer.json", "transfer.png", "transfer.svg"]
    written = content(out / "transfer.json")
    names = ["weights for φ = 0.2", "weights for φ = 0.5", "weights for each φ", "fixed, trained at φ = 0.5"]
    assert [curve["name"] for curve in written["curves"]] == names
    # No weights are generated for a phi outside the trained range.
    assert [len(curve["phis"]) for curve in written["curves"]] == [3, 3, 2, 3]
    first, second, own, _ = ([score["mean"] for score in curve["scores"]] for curve in written["curves"])
    assert own == [first[0], second[1]]
    workload = open_workload(network, dataset, metric="iou", limit=2)
    network_run, scores = workload.run(0.2), []
    for index in range(2):
        known = [score for score in workload.measure(index, network_run).scores.values() if score is not None]
        scores.append(sum(known) / len(known))
    assert first[0] == pytest.approx(sum(scores) / 2) and written["data"]["cases"] == workload.names
    assert written["data"]["files_sha256"] == workload.fingerprint
    assert [each["name"] for each in written["fixed"]] == [fixed.name]
    assert title == "IoU, mean of 2 cases (test)" and header.startswith("phi") and len(lines) == 3
    assert lines[0].split() == ["0.2", *(f"{curve['scores'][0]['mean']:.4f}" for curve in written["curves"])]
    assert lines[2].split()[3] == "–"


def test_transfer_goes_a_little_beyond_the_trained_range(
    network: Path, dataset: Path, tmp_path: Path, run: Run
) -> None:
    run("analyze", "transfer", network, "--dataset", dataset, "-o", tmp_path, "--limit", 1)
    shared, own = content(tmp_path / "transfer.json")["curves"]
    assert shared["weights_phi"] == 0.5 and shared["phis"] == [round(0.05 * place, 9) for place in range(13)]
    assert own["phis"] == shared["phis"][:11]


def test_transfer_of_registration(write_registration_bundle: Write, dataset: Path, tmp_path: Path, run: Run) -> None:
    network = write_registration_bundle(tmp_path / "net", 2, channels=("grey",), sizes=(24, 24))
    words = ["--dataset", dataset, "-o", tmp_path / "out", "--limit", 2, "--phi", "0.2,0.5", "--metric", "correlation"]
    run("analyze", "transfer", network, *words)
    written = content(tmp_path / "out" / "transfer.json")
    assert written["task"] == "registration" and written["metric"]["name"] == "correlation"


def test_levels(write_bundle: Write, dataset: Path, tmp_path: Path, run: Run) -> None:
    bundle, out = write_bundle(tmp_path / "levels", 2, channels=("grey",), per_level=True), tmp_path / "out"
    separate, common = tmp_path / "separate", tmp_path / "common"
    for folder, grid in ((separate, "0.1,0.3,0.5x0.1,0.3,0.5"), (common, "0.1,0.3,0.5")):
        quick = ["--repeats", 0, "--no-memory", "--bootstrap", 50, "--no-report", "--limit", 1]
        run("pareto", bundle, "--dataset", dataset, "-o", folder, "--phi", grid, *quick)
    printed = run("analyze", "levels", separate, "--common", common, "-o", out).out
    assert files(out) == ["levels.json", "levels_cost.png", "levels_cost.svg", "levels_map.png", "levels_map.svg"]
    scores = {row.phi: row.score.mean for row in read_frontier(separate).rows}
    written = content(out / "levels.json")
    for level, factor in enumerate(written["influence"]):
        changes = []
        for other in (0.1, 0.3, 0.5):
            line = [scores[pair if level == 0 else pair[::-1]] for pair in itertools.product((0.1, 0.3, 0.5), [other])]
            changes.append(max(line) - min(line))
        assert factor["change"] == pytest.approx(sum(changes) / 3)
    assert f"{written['influence'][0]['change']:.4f}" in printed and "has the most influence" in printed
    assert len(written["at_the_cost_of_one_factor"]) == len(read_frontier(common).pareto["flops"])
    # One factor for all levels is one of the settings: the best at its cost is no worse.
    assert all(gain["separate"] >= gain["common"] - 1e-9 for gain in written["at_the_cost_of_one_factor"])
    for words, told in (
        ([common], "one factor for all levels, so there is none to compare"),
        ([separate, "--common", separate], "must have one factor"),
    ):
        assert told in run("analyze", "levels", *words, "-o", tmp_path / "none", code=1).error
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["variation", "FIXED"], 2, "has the same weights for every phi"),
        (["variation", "BUNDLE", "--phi", "0.3"], 2, "at least two phi"),
        (["variation", "BUNDLE", "--phi", "0.3,0.7"], 2, "trained for phi from 0 to 0.5, got 0.7"),
        (["variation", "BUNDLE", "--regularization", "0.5"], 2, "takes phi, not regularization"),
        (["variation", "none"], 2, "none does not exist"),
        (["transfer", "FIXED", "--dataset", "DATA"], 2, "and this one with --fixed"),
        (["transfer", "BUNDLE", "--dataset", "DATA", "--weights-phi", "0.6"], 2, "trained for phi from 0 to 0.5"),
        (["transfer", "BUNDLE", "--dataset", "DATA", "--phi", "0.1,0.2;"], 2, "one factor for all levels"),
        (["transfer", "BUNDLE", "--dataset", "DATA", "--fixed", "BUNDLE"], 2, "was trained as sshn"),
        (["transfer", "BUNDLE", "--dataset", "none"], 2, "none does not exist"),
        (["levels", "BUNDLE"], 1, "there is no frontier"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_written(
    network: Path, fixed: Path, dataset: Path, tmp_path: Path, run: Run, more: list[str], code: int, message: str
) -> None:
    places = {"FIXED": str(fixed), "BUNDLE": str(network), "DATA": str(dataset)}
    words = [*(places.get(word, word) for word in more), "-o", tmp_path / "out"]
    assert message in run("analyze", *words, code=code).error
    assert not (tmp_path / "out").exists()


def test_options_stand_before_or_behind_the_analysis(run: Run) -> None:
    for words in (["--debug", "variation", "none"], ["variation", "none", "--debug"]):
        assert "Traceback" in run("analyze", *words, code=2).err
    for analysis in ("variation", "transfer", "levels"):
        assert "130  interrupted" in run("analyze", analysis, "--help").out
