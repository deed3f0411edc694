"""The comparison of methods: what each trains, and what its table says."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks.one_against_many import main, runs, table
from benchmarks.variants import VARIANTS
from benchmarks.wbc import METHODS, Recipe, _factors, build, dice, train


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return eight images whose classes are their intensities."""
    label = torch.randint(0, 3, (8, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    label = label.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return label.float().expand(-1, 3, -1, -1) - 1, label


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(method: str, images: tuple[torch.Tensor, torch.Tensor]) -> None:
    recipe = Recipe(method=method, steps=40, features=(8, 8), generator={} if method == "film" else {"hidden": (4, 4)})
    scores = dice(train(recipe, images, seed=0, batch_size=4), images, [0.5])
    untrained = dice(build(recipe), images, [0.5])
    assert len(scores[0.5]) == 8
    assert sum(scores[0.5]) / 8 > 0.8 > sum(untrained[0.5]) / 8


def test_methods_start_from_the_same_weights() -> None:
    started = []
    for method in METHODS:
        torch.manual_seed(3)
        generator = {"name": "mlp", "head_scale": 0.0} if method == "sshn" else {}
        started.append(build(Recipe(method=method, generator=generator)).fold(0.5).state_dict())
    for other in started[1:]:
        assert all(torch.equal(started[0][name], other[name]) for name in started[0])


def test_factors_of_a_step() -> None:
    assert {_factors(Recipe(method="fixed", phi=0.2), step, 0)[0] for step in range(1, 9)} == {0.2}
    assert _factors(Recipe(method="fixed", phi=0.2, phis_per_step=4), 1, 0) == [0.2] * 4
    drawn = [_factors(Recipe(), step, 0)[0] for step in range(1, 201)]
    assert 0 <= min(drawn) < 0.05 and 0.45 < max(drawn) <= 0.5
    assert all(k / 8 <= phi < (k + 1) / 8 for k, phi in enumerate(_factors(Recipe(phis_per_step=4), 5, 0)))
    late = Recipe(steps=10, fixed_share=0.5)
    assert [_factors(late, step, 0) == [0.5] for step in range(1, 11)] == [True] * 5 + [False] * 5


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_can_be_built(name: str) -> None:
    network = build(VARIANTS[name])
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network.fold(0.3)(x), network(x, phi=0.3), atol=1e-4, rtol=1e-4)


def test_table_pairs_the_seeds_of_the_methods() -> None:
    dice = {"sshn": (0.91, 0.83, 0.0), "fixed 0.5": (0.9, 0.8), "stochastic": (0.9, 0.84)}
    dice["fixed 0.5, in 8 parts"] = (0.5,)  # a variant of fixed has a line of its own
    results = {
        f"{method}, seed {seed}": {"dice": {"0.5": value}, "seed": seed}
        for method, values in dice.items()
        for seed, value in enumerate(values)
    }
    text = table(results, [0.5])
    lines = [line.split() for line in text.splitlines()]
    assert ["fixed", "0.8500"] in [line[:2] for line in lines] and "\nfixed 0.5, in 8 parts" in text
    pairs = [(line[1], line[-1]) for line in lines if line[0] == "−"]
    assert pairs[:2] == [("fixed,", "+2.00"), ("stochastic,", "+0.00")]


def test_what_serves_every_phi_has_the_same_steps_and_phi() -> None:
    args = argparse.Namespace(seeds=[0], variants=None, methods=METHODS, phis=[0.5], steps=600, part=None)
    found = {name: recipe for name, (recipe, _, _) in runs(args).items()}
    steps = {name: recipe.total_steps for name, recipe in found.items()}
    assert steps == {"sshn, seed 0": 900, "stochastic, seed 0": 900, "film, seed 0": 900, "fixed 0.5, seed 0": 600}
    drawn = [_factors(found[f"{method}, seed 0"], 7, 0) for method in ("sshn", "stochastic", "film")]
    assert drawn[0] == drawn[1] == drawn[2] and len(drawn[0]) == 8


def test_a_run_of_another_recipe_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gap.json"
    stored = json.loads(json.dumps({"fixed 0.5, seed 0": {"recipe": asdict(Recipe(method="fixed", steps=300))}}))
    file.write_text(json.dumps(stored))
    monkeypatch.setattr("sys.argv", ["", "--dataset", str(tmp_path), "-o", str(file), "--phis", "0.5", "--seeds", "0"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and "fixed 0.5, seed 0 of another recipe" in capsys.readouterr().err
    assert json.loads(file.read_text()) == stored
