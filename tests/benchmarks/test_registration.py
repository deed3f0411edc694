"""The comparison with VoxelMorph's own network: alike in all but what is compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn as nn

from benchmarks import pairs, registration


def convolutions(network: nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv3d))


def test_both_have_the_same_convolutions() -> None:
    theirs = registration.Voxelmorph((4, 4), 0)
    ours = registration.ours((4, 4), 0).fold(0.5)
    assert convolutions(theirs) == convolutions(ours)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())


def test_only_theirs_minds_the_size() -> None:
    theirs = registration.Voxelmorph((4, 4), 0).eval()
    ours = registration.ours((4, 4), 0).fold(0.5)
    cpu = torch.device("cpu")
    assert registration.runs_on(theirs, (8, 4, 12), cpu) == registration.runs_on(ours, (8, 4, 12), cpu) == "runs"
    assert registration.runs_on(ours, (7, 11, 9), cpu) == "runs"
    assert registration.runs_on(theirs, (7, 11, 9), cpu).startswith("raises: Sizes of tensors must match")


def test_the_command_trains_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "registration.json"
    arguments = ["--size", "16", "--training_pairs", "2", "--test_pairs", "2", "--steps", "2", "--rounds", "2"]
    arguments += ["--features", "4", "4", "--phis", "0.5", "0.2", "--device", "cpu", "--json", str(file)]
    arguments += ["--contestants", *registration.CONTESTANTS]
    assert registration.main(arguments) == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    found = [(row["network"], row["phi"]) for row in rows]
    assert found == [("VxmPairwise", None), *[(name, phi) for name in ("ours", "ours, joint") for phi in (0.5, 0.2)]]
    assert all(0 < row["dice"] <= 1 and row["seconds"]["median"] > 0 for row in rows)
    assert len({row["dice_before"] for row in rows}) == 1
    assert [row["odd_sizes"][:6] for row in rows] == ["raises", *["runs"] * 4]
    assert "| VxmPairwise " in capsys.readouterr().out


def test_a_known_displacement_raises_dice() -> None:
    data = pairs.synthetic_pairs(16, 0, 2, seed=3)
    known = {id(sample): sample["field"][None] for sample in data.test}
    truth = iter(known.values())
    cpu = torch.device("cpu")
    found = registration.measure(lambda x: next(truth), data, cpu)
    assert found["dice"] > 0.99 and found["dice"] > found["dice_before"]
    still = registration.measure(lambda x: torch.zeros(1, 3, *x.shape[2:]), data, cpu)
    assert still["dice"] == still["dice_before"] and still["folded"] == 0


def test_the_judgement() -> None:
    def row(network: str, dice: float, ratio: float, phi: Any = 0.5) -> dict[str, Any]:
        return {"network": network, "phi": phi, "dice": dice, "ratio": {"median": ratio}, "odd_sizes": "runs"}

    theirs = row("VxmPairwise", 0.70, 1.0, None)
    assert registration.judged([theirs, row("ours", 0.71, 0.99), row("ours", 0.1, 0.1, 0.1)])
    assert not registration.judged([theirs, row("ours", 0.69, 0.9)])
    assert not registration.judged([theirs, row("ours", 0.72, 1.1)])
