import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from monai_hyperscale.errors import FrontierError, PhiError
from monai_hyperscale.search import SweepOptions, hypervolume, knee, pareto_points, phi_grid, read_frontier, sweep
from monai_hyperscale.search.frontier import UNFINISHED
from monai_hyperscale.search.workload import open_workload

QUICK = SweepOptions(rounds=1, memory=False, bootstrap=200)
GRID = phi_grid("0.1,0.3,0.5")


def without_times(frontier):
    content = json.loads(json.dumps(frontier.as_dict()))
    for row in content["rows"]:
        assert row.pop("latency")["median"] > 0
        stages = row.pop("stages", {})
        assert min(stages.values(), default=0) >= 0 and (not stages or stages["network"] > 0)
    for name in ("pareto", "knee", "hypervolume"):
        content[name].pop("latency")
    return content


@pytest.fixture(scope="module")
def measured(bundle, dataset, tmp_path_factory):
    workload = open_workload(bundle, dataset)
    return sweep(workload, GRID, tmp_path_factory.mktemp("sweep"), QUICK)


def test_rows_are_what_the_workload_measures(bundle, dataset, measured):
    workload = open_workload(bundle, dataset)
    assert [row.phi for row in measured.rows] == GRID and measured.data["cases"] == workload.names
    for row in measured.rows:
        run = workload.run(row.phi[0])
        scores = [workload.measure(index, run).scores for index in range(3)]
        assert row.cases == dict(zip(workload.names, scores, strict=True))
        table = np.array([[score["1"], score["2"]] for score in scores])
        assert row.score.mean == pytest.approx(table.mean()) and row.labels["2"].mean == pytest.approx(
            table[:, 1].mean()
        )
        assert row.score.low <= row.score.mean <= row.score.high
        assert row.parameters == sum(p.numel() for p in run.parameters())
    flops, scores = [row.flops for row in measured.rows], [row.score.mean for row in measured.rows]
    assert flops == sorted(set(flops)) and len(set(scores)) == 3
    assert list(measured.pareto["flops"]) == pareto_points(flops, scores)
    assert measured.knee["flops"] == knee(flops, scores)
    assert measured.hypervolume["flops"] == hypervolume(flops, scores)
    assert "memory" not in measured.pareto and measured.options["size"] == list(workload.image().shape[2:])
    volumes = [workload.measure(index, workload.run(0.5)).volumes["2"] for index in range(3)]
    assert measured.data["mean_volumes"]["2"] == pytest.approx(np.mean([volume for volume in volumes if volume]))
    assert measured.data["files_sha256"] == workload.fingerprint and measured.machine["numpy"] == np.__version__
    described = json.loads((bundle / "models" / "model.json").read_text())
    assert {"format": 1, **measured.bundle["settings"]} == described
    assert measured.bundle["weights_sha256"] == sha256((bundle / "models" / "model.pt").read_bytes()).hexdigest()


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [0, 4, 8])
def test_an_interrupted_sweep_goes_on_and_ends_the_same(bundle, dataset, measured, tmp_path, monkeypatch, after):
    monkeypatch.setattr("monai_hyperscale.search.frontier._SAVE_AFTER", 0.0)
    workload = open_workload(bundle, dataset)
    measure, calls = workload.measure, []

    def counting(index, run):
        if len(calls) == after:
            raise Stopped
        calls.append(index)
        return measure(index, run)

    monkeypatch.setattr(workload, "measure", counting)
    with pytest.raises(Stopped):
        sweep(workload, GRID, tmp_path, QUICK)
    monkeypatch.setattr(workload, "measure", lambda index, run: calls.append(index) or measure(index, run))
    monkeypatch.setattr("monai_hyperscale.search.cost.count_flops", None)  # that was done
    monkeypatch.setattr(workload, "stages", None)
    steps = []
    frontier = sweep(workload, GRID, tmp_path, QUICK, steps.append)
    assert len(calls) == 9 and sum(steps) == 9 + 3 * 3  # nothing twice, and the bar ends full
    assert without_times(frontier) == without_times(measured)


@pytest.mark.parametrize("after", [1, 7, 12])
def test_costs_of_an_interrupted_sweep_are_not_measured_twice(bundle, dataset, tmp_path, monkeypatch, after):
    from monai_hyperscale.search import cost

    workload, counted, staged = open_workload(bundle, dataset), [], []
    count, stages = cost.count_flops, workload.stages
    monkeypatch.setattr(cost, "count_flops", lambda run, image: counted.append(1) or count(run, image))
    monkeypatch.setattr(workload, "stages", lambda phi: staged.append(phi) or stages(phi))
    options, steps = SweepOptions(rounds=2, memory=False, bootstrap=200), []

    def stop(done):
        steps.append(done)
        if len(steps) == after:
            raise Stopped

    with pytest.raises(Stopped):
        sweep(workload, GRID, tmp_path, options, stop)
    steps = []
    frontier = sweep(workload, GRID, tmp_path, options, steps.append)
    # A step is told before it is saved, so that one is lost.
    assert len(counted) <= 3 + 1 and len(staged) == 3 and sum(steps) == 3 * (2 + 2) + 9
    assert all(row.latency.runs == 2 and row.stages for row in frontier.rows)


def test_damaged_parts_and_costs_of_other_options_are_measured_again(bundle, dataset, measured, tmp_path, caplog):
    workload = open_workload(bundle, dataset)
    sweep(workload, GRID, tmp_path, QUICK)
    files = tmp_path / UNFINISHED
    part = json.loads((files / "phi_0.3.json").read_text())
    (files / "phi_0.3.json").write_text(json.dumps({**part, "cases": {"case_004": {"scores": [1]}}}))
    (files / "costs.json").write_text("{")
    assert without_times(sweep(workload, GRID, tmp_path, QUICK)) == without_times(measured)
    assert "phi = 0.3 is measured again" in caplog.text
    frontier = sweep(workload, GRID, tmp_path, SweepOptions(rounds=2, memory=False, sizes=(16, 16)))
    assert frontier.rows[0].latency.runs == 2 and frontier.options["size"] == [16, 16]
    assert frontier.options["cost_measured_on"] == "random numbers"


def test_a_sweep_of_something_else_is_not_gone_on_with(bundle, level_bundle, dataset, tmp_path):
    data, out = tmp_path / "shapes", tmp_path / "out"
    shutil.copytree(dataset, data)
    workload = open_workload(bundle, data)
    sweep(workload, GRID, out, QUICK)
    for options, grid, word in (
        ({"limit": 2}, GRID, "data set"),
        ({"part": "all"}, GRID, "data set"),
        ({"metric": "iou"}, GRID, "metric"),
        ({"max_voxels": 100}, GRID, "set of options"),
        ({}, GRID[:2], "grid of phi"),
    ):
        with pytest.raises(FrontierError, match=f"unfinished sweep with another {word};"):
            sweep(open_workload(bundle, data, **options), grid, out, QUICK)
    with pytest.raises(FrontierError, match="another bundle"):
        sweep(open_workload(level_bundle, data), GRID, out, QUICK)
    label = Path(workload._cases[0]["label"])
    content = bytearray(label.read_bytes())
    content[-1] ^= 1  # another content of the same size
    label.write_bytes(bytes(content))
    with pytest.raises(FrontierError, match="unfinished sweep with another data set;"):
        sweep(open_workload(bundle, data), GRID, out, QUICK)


def test_factors_per_level(bundle, level_bundle, dataset, tmp_path):
    grid = phi_grid("0.5,0.1;0.1,0.5")
    frontier = sweep(open_workload(level_bundle, dataset), grid, tmp_path, QUICK)
    assert [row.phi for row in frontier.rows] == grid and frontier.rows[0].flops > frontier.rows[1].flops
    with pytest.raises(PhiError, match="one phi for all levels, got 2"):
        sweep(open_workload(bundle, dataset), grid, tmp_path, QUICK)
    with pytest.raises(PhiError, match="2, one per level; got 3"):
        sweep(open_workload(level_bundle, dataset), [(0.1, 0.2, 0.3)], tmp_path, QUICK)
    with pytest.raises(PhiError, match="trained for phi from 0 to 0.5, got 0.6"):
        sweep(open_workload(bundle, dataset), phi_grid("0.5,0.6"), tmp_path / "none", QUICK)
    assert not (tmp_path / "none").exists()


def test_registration_has_what_was_before_and_folds(registration_bundle, dataset, tmp_path):
    workload = open_workload(registration_bundle, dataset, metric="hd95", limit=3)
    frontier = sweep(workload, GRID, tmp_path, QUICK)
    befores = [workload.measure(index, workload.run(0.1)).extra["before"] for index in range(3)]
    for row in frontier.rows:
        assert row.extra["before"].mean == pytest.approx(np.mean(befores))
        assert 0 <= row.extra["folded"].mean < 1
    assert frontier.metric == {"name": "HD95", "higher_is_better": False}
    scores = [row.score.mean for row in frontier.rows]
    assert list(frontier.pareto["flops"]) == pareto_points([r.flops for r in frontier.rows], scores, False)


@pytest.mark.slow
def test_more_processes_than_cases_share_the_phi_and_give_the_same(bundle, dataset, measured, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, torch.distributed as dist\n"
        "from pathlib import Path\n"
        "from monai_hyperscale.search import SweepOptions, phi_grid, sweep\n"
        "from monai_hyperscale.search.workload import open_workload\n"
        "dist.init_process_group('gloo')\n"
        "workload, seen = open_workload(*sys.argv[1:3]), []\n"
        "measure = workload.measure\n"
        "workload.measure = lambda index, run: seen.append(index) or measure(index, run)\n"
        "options = SweepOptions(rounds=1, memory=False, bootstrap=200)\n"
        "frontier = sweep(workload, phi_grid('0.1,0.3,0.5'), Path(sys.argv[3]), options)\n"
        "Path(sys.argv[3], f'seen_{dist.get_rank()}').write_text(f'{len(seen)} {len(set(seen))}')\n"
        "if frontier is not None: frontier.write(Path(sys.argv[3]) / 'frontier.json')\n"
        "dist.destroy_process_group()\n"
    )
    out = tmp_path / "out"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4"]
    command = [sys.executable, *torchrun, *map(str, (script, bundle, dataset, out))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    frontier = read_frontier(out)
    seen = [(out / f"seen_{rank}").read_text().split() for rank in range(4)]
    assert seen == [["3", "3"]] * 3 + [["0", "0"]]  # calls, and cases
    ours, alone = without_times(frontier), without_times(measured)
    for content in (ours, alone):
        content.pop("machine")  # the threads differ
    assert ours == alone
    assert Path(out, UNFINISHED).is_dir()
