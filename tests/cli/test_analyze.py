from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_hyperscale.bundle.settings import build_network, write_settings
from monai_hyperscale.cli.main import main
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.search import read_frontier
from monai_hyperscale.search.workload import open_workload
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

FIXED: dict[str, Any] = {"method": "fixed", "generator": {"name": "constant"}, "phi_range": (0.5, 0.5)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return Path(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))


@pytest.fixture
def network(write_bundle: Callable[..., Path], tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "net", 2, channels=("grey",))


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    folder = tmp_path / "fixed"
    labels = {1: "Anterior", 2: "Posterior"}
    settings = SegmentationSettings(2, ("grey",), labels, network={"features": (4, 4, 4)}, **FIXED)
    torch.manual_seed(1)
    (folder / "models").mkdir(parents=True)
    torch.save(build_network(settings).state_dict(), folder / "models" / "model.pt")
    write_settings(settings, folder / "models" / "model.json")
    return folder


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def test_variation(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "out"
    assert main(["analyze", "variation", str(network), "-o", str(out)]) == 0
    assert files(out) == {"variation.json", "variation.png", "variation.svg"}
    written = content(out / "variation.json")
    assert written["phi"] == [[round(0.05 * place, 9)] for place in range(11)]
    assert written["command"] == ["monai-hyperscale", "analyze", "variation", network.name, "-o", "out"]
    assert written["weights_sha256"] == sha256((network / "models" / "model.pt").read_bytes()).hexdigest()
    assert written["machine"]["device"] == "cpu"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["layer", "weights"] and len(lines) == 1 + len(written["layers"])
    last = written["layers"][-1]
    assert lines[-1].split()[:3] == [last["layer"], str(last["weights"]), f"{last['median']:.3g}"]
    assert last["layer"] == "body.final" and "body.final" in (out / "variation.svg").read_text(encoding="utf-8")
    assert str(tmp_path) not in (out / "variation.json").read_text(encoding="utf-8")
    # What is there is kept, unless told otherwise.
    again = ["analyze", "variation", str(network), "-o", str(out), "--phi", "0.1,0.4"]
    assert main(again) == 2 and "already; add --overwrite" in one_error(capsys)
    assert main([*again, "--overwrite"]) == 0
    assert content(out / "variation.json")["phi"] == [[0.1], [0.4]]


def test_variation_of_registration_and_over_factors_per_level(
    registration_bundle: Path, write_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    assert main(["analyze", "variation", str(registration_bundle), "-o", str(tmp_path)]) == 0
    assert content(tmp_path / "variation.json")["layers"][-1]["layer"] == "head.flow"
    bundle = write_bundle(tmp_path / "net", 2, per_level=True)
    assert main(["analyze", "variation", str(bundle), "-o", str(bundle), "--phi", "0.1,0.5x0.1,0.5"]) == 0
    assert content(bundle / "variation.json")["phi"] == [[0.1, 0.1], [0.1, 0.5], [0.5, 0.1], [0.5, 0.5]]


def test_transfer(
    network: Path, fixed: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--phi", "0.2,0.5,0.6", "--weights-phi", "0.2,0.5", "--limit", "2", "--bootstrap", "50"]
    arguments = ["analyze", "transfer", str(network), "--dataset", str(dataset), "-o", str(out), *more]
    assert main([*arguments, "--fixed", str(fixed), "--metric", "iou"]) == 0
    assert files(out) == {"transfer.json", "transfer.png", "transfer.svg"}
    written = content(out / "transfer.json")
    names = ["weights for φ = 0.2", "weights for φ = 0.5", "weights for each φ", "fixed, trained at φ = 0.5"]
    assert [curve["name"] for curve in written["curves"]] == names
    # No weights are generated for a phi outside the trained range.
    assert [len(curve["phis"]) for curve in written["curves"]] == [3, 3, 2, 3]
    first, second, own, _ = ([score["mean"] for score in curve["scores"]] for curve in written["curves"])
    assert own == [first[0], second[1]]
    workload = open_workload(network, dataset, metric="iou", limit=2)
    run, scores = workload.run(0.2), []
    for index in range(2):
        known = [score for score in workload.measure(index, run).scores.values() if score is not None]
        scores.append(sum(known) / len(known))
    assert first[0] == pytest.approx(sum(scores) / 2) and written["data"]["cases"] == workload.names
    assert written["data"]["files_sha256"] == workload.fingerprint
    assert [each["name"] for each in written["fixed"]] == [fixed.name]
    title, header, *lines = capsys.readouterr().out.splitlines()
    assert title == "IoU, mean of 2 cases (test)" and header.startswith("phi") and len(lines) == 3
    assert lines[0].split() == ["0.2", *(f"{curve['scores'][0]['mean']:.4f}" for curve in written["curves"])]
    assert lines[2].split()[3] == "–"


def test_transfer_goes_a_little_beyond_the_trained_range(network: Path, dataset: Path, tmp_path: Path) -> None:
    arguments = ["analyze", "transfer", str(network), "--dataset", str(dataset), "-o", str(tmp_path), "--limit", "1"]
    assert main(arguments) == 0
    shared, own = content(tmp_path / "transfer.json")["curves"]
    assert shared["weights_phi"] == 0.5 and shared["phis"] == [round(0.05 * place, 9) for place in range(13)]
    assert own["phis"] == shared["phis"][:11]


def test_transfer_of_registration(
    write_registration_bundle: Callable[..., Path], dataset: Path, tmp_path: Path
) -> None:
    network = write_registration_bundle(tmp_path / "net", 2, channels=("grey",), sizes=(24, 24))
    arguments = ["analyze", "transfer", str(network), "--dataset", str(dataset), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--limit", "2", "--phi", "0.2,0.5", "--metric", "correlation"]) == 0
    written = content(tmp_path / "out" / "transfer.json")
    assert written["task"] == "registration" and written["metric"]["name"] == "correlation"


@pytest.fixture
def frontiers(write_bundle: Callable[..., Path], dataset: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Return what pareto measures of a network with a factor per level: separate factors, and a common one."""
    bundle = write_bundle(tmp_path / "levels", 2, channels=("grey",), per_level=True)
    for name, grid in {"separate": "0.1,0.3,0.5x0.1,0.3,0.5", "common": "0.1,0.3,0.5"}.items():
        quick = ["--repeats", "0", "--no-memory", "--bootstrap", "50", "--no-report", "--limit", "1"]
        command = ["pareto", str(bundle), "--dataset", str(dataset), "-o", str(tmp_path / name), "--phi", grid]
        assert main([*command, *quick]) == 0
    return tmp_path / "separate", tmp_path / "common"


def test_levels(frontiers: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    separate, common = frontiers
    out = tmp_path / "out"
    capsys.readouterr()
    assert main(["analyze", "levels", str(separate), "--common", str(common), "-o", str(out)]) == 0
    assert files(out) == {"levels.json", "levels_map.png", "levels_map.svg", "levels_cost.png", "levels_cost.svg"}
    scores = {row.phi: row.score.mean for row in read_frontier(separate).rows}
    written = content(out / "levels.json")
    for level, factor in enumerate(written["influence"]):
        changes = []
        for other in (0.1, 0.3, 0.5):
            line = [scores[pair if level == 0 else pair[::-1]] for pair in itertools.product((0.1, 0.3, 0.5), [other])]
            changes.append(max(line) - min(line))
        assert factor["change"] == pytest.approx(sum(changes) / 3)
    printed = capsys.readouterr().out
    assert f"{written['influence'][0]['change']:.4f}" in printed and "has the most influence" in printed
    assert len(written["at_the_cost_of_one_factor"]) == len(read_frontier(common).pareto["flops"])
    # One factor for all levels is one of the settings: the best at its cost is no worse.
    assert all(gain["separate"] >= gain["common"] - 1e-9 for gain in written["at_the_cost_of_one_factor"])
    assert main(["analyze", "levels", str(common), "-o", str(tmp_path / "none")]) == 1
    assert "one factor for all levels, so there is none to compare" in one_error(capsys)
    assert main(["analyze", "levels", str(separate), "--common", str(separate), "-o", str(tmp_path / "none")]) == 1
    assert "must have one factor" in one_error(capsys) and not (tmp_path / "none").exists()


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
    network: Path, fixed: Path, dataset: Path, tmp_path: Path, capsys: Any, more: list[str], code: int, message: str
) -> None:
    places = {"FIXED": str(fixed), "BUNDLE": str(network), "DATA": str(dataset)}
    assert main(["analyze", *(places.get(word, word) for word in more), "-o", str(tmp_path / "out")]) == code
    assert message in one_error(capsys)
    assert not (tmp_path / "out").exists()


def test_options_stand_before_or_behind_the_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--debug", "variation", "none"], ["variation", "none", "--debug"]):
        assert main(["analyze", *words]) == 2
        assert "Traceback" in capsys.readouterr().err
    for analysis in ("variation", "transfer", "levels"):
        assert main(["analyze", analysis, "--help"]) == 0
        assert "130  interrupted" in capsys.readouterr().out
