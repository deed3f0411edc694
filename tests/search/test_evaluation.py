import logging
import math
from dataclasses import replace

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import (
    FrontierRow,
    Interval,
    Objective,
    RowMeasurer,
    SweepOptions,
    choose,
    open_workload,
    phi_grid,
    read_limits,
    search_phi,
    sweep,
)

DICE = {"name": "Dice", "higher_is_better": True}
LINE = phi_grid("0:0.5:0.01")
CUBE = phi_grid("0:0.5:0.05x0:0.5:0.05x0:0.5:0.05")


def smooth(phi):
    """Return a row whose score rises and whose cost rises faster, as networks' do."""
    score = 0.9 - sum(0.1 * math.exp(-10 * factor) for factor in phi)
    cost = 5e9 + sum(1e10 * factor**3 for factor in phi)
    return FrontierRow(phi, Interval(score, score, score), cost)


def counted(calls):
    return lambda phi: calls.append(phi) or smooth(phi)


@pytest.mark.parametrize("text", ["dice>=0.85", "dice>=0.88", "flops<=5.1G", "flops<=5.8G"])
@pytest.mark.parametrize("seed", [0, 1])
def test_tpe_comes_near_the_best_of_the_grid(text, seed):
    limits = read_limits([text], DICE)
    objective = Objective("flops", True) if "dice" in text else Objective("score", False)
    wanted = choose([smooth(phi) for phi in LINE], limits, objective).row
    calls = []
    rows = search_phi(counted(calls), LINE, limits, objective, evaluations=25, seed=seed)
    found = choose(rows, limits, objective)
    assert found.met and len(rows) == len(set(calls)) == len(calls) == 25
    assert found.row.flops == pytest.approx(wanted.flops, rel=0.01)
    assert found.row.score.mean == pytest.approx(wanted.score.mean, rel=0.01)


@pytest.mark.parametrize("seed", range(8))
def test_tpe_of_three_factors_ends_beside_the_best(seed):
    """One of these seeds ended 5 % above the best where no neighbour of the best so far was measured."""
    limits, objective = read_limits(["dice>=0.888"], DICE), Objective("flops", True)
    wanted = choose([smooth(phi) for phi in CUBE], limits, objective).row.flops
    calls = []
    rows = search_phi(counted(calls), CUBE, limits, objective, seed=seed, flops=lambda phi: smooth(phi).flops)
    assert len(set(calls)) == len(calls) <= 25
    assert choose(rows, limits, objective).row.flops <= 1.01 * wanted


def test_phi_of_too_many_operations_are_not_measured():
    limits, objective = read_limits(["dice>=0.85"], DICE), Objective("flops", True)
    calls = []
    rows = search_phi(counted(calls), LINE, limits, objective, flops=lambda phi: smooth(phi).flops)
    best = math.inf
    for number, row in enumerate(rows):
        assert number < 5 or row.flops <= best
        if row.score.mean >= 0.85:
            best = min(best, row.flops)
    # It ends early: of what is left nothing can be better.
    assert len(calls) < 25 and choose(rows, limits, objective).row.flops == best
    assert best == min(smooth(phi).flops for phi in LINE if smooth(phi).score.mean >= 0.85)


def test_other_samplers():
    limits, objective = read_limits(["flops<=5.1G"], DICE), Objective("score", False)
    assert [row.phi for row in search_phi(smooth, LINE, limits, objective, "grid", 3)] == LINE
    drawn = [[row.phi for row in search_phi(smooth, LINE, limits, objective, "random", 9, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) == 9 and set(drawn[0]) <= set(LINE)
    # More than there are: all.
    assert len(search_phi(smooth, LINE[:7], limits, objective, "tpe", 25)) == 7
    steps = []
    search_phi(smooth, LINE, limits, objective, "tpe", 6, progress=lambda: steps.append(1))
    assert len(steps) == 6
    for wrong in ({"sampler": "magic"}, {"evaluations": 0}, {"grid": []}):
        with pytest.raises(FrontierError, match="a sampler of grid, random, tpe"):
            search_phi(smooth, wrong.pop("grid", LINE), limits, objective, **wrong)


def test_grids_with_gaps_and_scores_that_are_missing():
    grid = [phi for phi in CUBE if phi[0] >= phi[1] >= phi[2]]
    limits, objective = read_limits(["dice>=0.8"], DICE), Objective("flops", True)

    def sometimes(phi):
        row = smooth(phi)
        return row if phi[0] < 0.4 else FrontierRow(phi, Interval(None, None, None), row.flops)

    rows = search_phi(sometimes, grid, limits, objective, evaluations=20)
    assert {row.phi for row in rows} <= set(grid) and len(rows) == 20 and choose(rows, limits, objective).met


def test_optuna_is_quiet_and_left_as_it_was(capfd):
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    search_phi(smooth, LINE, [], Objective("score", False), evaluations=12)
    assert optuna.logging.get_verbosity() == before and capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == before


def test_a_row_is_that_of_the_sweep(bundle, dataset, tmp_path):
    workload = open_workload(bundle, dataset)
    options = SweepOptions(rounds=2, memory=False, bootstrap=200)
    wanted = sweep(workload, phi_grid("0.1,0.5"), tmp_path, options).rows
    measure = RowMeasurer(workload, replace(options, rounds=0))
    for row in wanted:
        assert measure.flops(row.phi) == row.flops
        found = measure(row.phi)
        assert (found.score, found.cases, found.flops) == (row.score, row.cases, row.flops)
        assert found.latency is None and found is measure(row.phi)
    assert RowMeasurer(workload, options)((0.5,)).latency.runs == 2
