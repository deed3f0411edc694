"""The benchmark of training times: that it trains as the configuration does, and that its sums are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training_time
from benchmarks.training_time import CONFIGS, SpreadPhi, Training, in_one, minutes, summary
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.training import ChoicePhi, FixedPhi, UniformPhi

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "spatial_dims": 2,
    "dataset_dir": None,
    "roi_size": [16, 16],
    "synthetic": {"cases": 6, "size": 24, "labels": 1},
    "network": {"features": [4, 4]},
    "generator": {"hidden": [4, 4]},
    "split": [0.5, 0.25, 0.25],
    "max_epochs": 10,
    "iterations_per_epoch": 7,
}


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(CONFIGS[:1], {"output_dir": str(tmp_path), **SMALL}, CPU, batches=2)


def test_quantiles_of_the_prior_are_evenly_spread() -> None:
    prior = UniformPhi(0.0, 0.5, exponent=1.5)
    drawn = [SpreadPhi(prior, 500)(iteration) for iteration in range(1, 501)]
    assert sum(drawn) / 500 == pytest.approx(0.5 * 1.5 / 2.5, abs=1e-4)  # the mean of the distribution
    assert [SpreadPhi(FixedPhi(0.3), 4)(iteration) for iteration in (1, 2)] == [0.3, 0.3]
    spread = [SpreadPhi(prior, 5).several(iteration, 2) for iteration in range(1, 6)]
    assert sorted(phi for pair in spread for phi in pair) == pytest.approx(
        [SpreadPhi(prior, 10)(iteration) for iteration in range(1, 11)]
    )
    # What has no quantiles is drawn.
    levels = UniformPhi(levels=3)
    assert SpreadPhi(levels, 4)(5) == levels(5)
    together = ChoicePhi([[0.5, 0.4]])
    assert SpreadPhi(together, 4)(5) == together(5)


@pytest.mark.parametrize("method", ["sshn", "fixed"])
def test_a_program_trains(method: str, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, tuple[int, ...], int]] = []
    networks: list[Any] = []
    call = PhiInferer.__call__

    def noted(self: Any, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((float(self.context["phi"]), tuple(inputs.shape), id(network)))
        networks.append(network)
        return call(self, inputs, network, *args, **kwargs)

    monkeypatch.setattr(PhiInferer, "__call__", noted)
    run, parameters = training.program(method, 0.3 if method == "fixed" else None, 4)
    run()
    before = [value.detach().clone() for value in networks[0].parameters()]
    run()
    after = list(networks[0].parameters())
    assert training.steps == 10 * 7 and training.facts["batch_size"] == 2
    # Called twice, it is eight steps of one network, on the configuration's batches, at the phi that it says.
    assert len(seen) == 8 and len({network for *_, network in seen}) == 1
    assert {shape for _, shape, _ in seen} == {(2, 1, 16, 16)}
    expected = [0.3] * 4 if method == "fixed" else [0.0625, 0.1875, 0.3125, 0.4375]
    assert [phi for phi, *_ in seen] == pytest.approx(expected * 2)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert parameters == sum(value.numel() for value in after)


def test_sums_and_ratios_are_of_the_same_round() -> None:
    # The machine is half as fast in the second round.
    times = {("sshn", None): [0.3, 0.6], ("fixed", 0.0): [0.1, 0.2], ("fixed", 0.5): [0.5, 1.0]}
    parameters = dict.fromkeys(times, 7)
    rows = {(row["method"], row["phi"]): row for row in summary(times, parameters, steps=6000, frontier=600)}
    assert minutes([0.3], 6000) == pytest.approx([30])
    assert rows["sshn", None]["minutes"]["median"] == pytest.approx(45)
    assert rows["sshn", None]["ratio"]["low"] == rows["sshn", None]["ratio"]["high"] == pytest.approx(0.5)
    assert rows["fixed, all", None]["minutes"]["median"] == pytest.approx((60 + 120) / 2)
    assert rows["fixed, all", None]["networks"] == 2
    # (30 + 10) / 60 and (60 + 10) / 120
    assert rows["sshn and its sweep", None]["ratio"]["median"] == pytest.approx((40 / 60 + 70 / 120) / 2)
    assert rows["fixed", 0.5]["ratio"] is None
    assert ("sshn and its sweep", None) not in {(r["method"], r["phi"]) for r in summary(times, parameters, 6000)}


def test_trainings_that_follow_one_another_are_added() -> None:
    first = {("sshn", None): [0.3, 0.6], ("fixed", 0.5): [0.5, 1.0]}
    then = {("sshn", None): [0.6, 0.6], ("fixed", 0.5): [0.5, 2.0]}
    times = in_one([first, then], [6000, 3000])
    rows = {row["method"]: row for row in summary(times, dict.fromkeys(times, 7), steps=9000)}
    # 30 and 30 minutes of 50 and 25, then 60 and 30 of 100 and 100.
    assert rows["sshn"]["minutes"]["median"] == pytest.approx((60 + 90) / 2)
    assert rows["sshn"]["ratio"]["median"] == pytest.approx((60 / 75 + 90 / 200) / 2)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, then = tmp_path / "new" / "times.json", tmp_path / "then.json"
    then.write_text(json.dumps({"max_epochs": 3, "phi_exponent": 2.0}), encoding="utf-8")
    given = [f"{name}={json.dumps(value)}" for name, value in SMALL.items() if value and name != "max_epochs"]
    # Two trainings, of 18 epochs and of 3.
    configs = ["--configs", str(CONFIGS[0]), "--configs", str(CONFIGS[0]), str(then)]
    arguments = [*configs, "--set", *given, "--phis", "0.2,0.5", "--rounds", "1", "--draws", "2", "--device", "cpu"]
    assert training_time.main([*arguments, "--frontier", "6", "--json", str(file)]) == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    rows = written["rows"]
    methods = ["sshn", "stochastic", "film", "fixed", "fixed", "fixed, all", "sshn and its sweep"]
    assert [row["method"] for row in rows] == methods and written["settings"]["steps"] == 147
    for row in rows[:5]:
        assert row["minutes"]["median"] == pytest.approx(row["seconds_per_step"]["median"] * 147 / 60)
    assert rows[6]["minutes"]["median"] == pytest.approx(rows[0]["minutes"]["median"] + 0.1)
    # The same network with and without a generator, and Fixed the same at every phi.
    assert rows[0]["parameters"] > rows[1]["parameters"] == rows[3]["parameters"] == rows[4]["parameters"]
    printed = capsys.readouterr().out
    assert "147 steps of 2 images, fp32" in printed and "| fixed, all" in printed
