"""What every task owes the rest of the package: its bundle trains, and its networks are measured, folded and shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_hyperscale.bundle import read_settings
from monai_hyperscale.cli.main import program
from monai_hyperscale.export import fold_bundle, read_manifest
from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.source import FoldSource, Inputs
from monai_hyperscale.report import write_report
from monai_hyperscale.report.examples import example_of
from monai_hyperscale.search import SweepOptions, open_workload, read_frontier, sweep
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.tasks import TASKS, task_named
from monai_hyperscale.tasks.base import LABEL_SCORES

PHIS = [(0.2,), (0.5,)]


@pytest.fixture(scope="module", params=TASKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task's name, and what its bundle makes of built-in data in an epoch."""
    folder = tmp_path_factory.mktemp(request.param)
    task = task_named(request.param)
    flow = ConfigWorkflow(
        config_file=str(task.bundle / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        **{**task.trial, "output_dir": str(folder), "device": "cpu", "val_phi": [0.2, 0.5]},
    )
    flow.initialize()
    flow.run()
    flow.finalize()
    return request.param, folder


def data_of(folder: Path) -> Path:
    """Return the built-in data of a training."""
    (found,) = folder.glob("synthetic_*")
    return found


class TestTask:
    """What holds for every task in the registry."""

    def test_training_leaves_a_network_and_its_results(self, trained: tuple[str, Path]) -> None:
        name, folder = trained
        settings = read_settings(folder / "models" / "model.json")
        assert settings.task == name and isinstance(settings, task_named(name).settings)
        frontier = read_frontier(folder)
        assert frontier.task == name and [row.phi for row in frontier.rows] == PHIS
        tested = settings.provenance["cases"]["test"]  # a pair has the names of its two
        assert frontier.data["cases"] and all(set(case.split(" to ")) <= set(tested) for case in frontier.data["cases"])
        assert {"labels"} <= set(settings.facts())

    def test_network_is_its_fold_and_knows_phi(self, trained: tuple[str, Path]) -> None:
        _, folder = trained
        source = FoldSource.from_bundle(folder, 0.3)
        image = Inputs(source, size=(12,) * source.settings.spatial_dims).example()
        with torch.no_grad():
            output = source(image)
            torch.testing.assert_close(source.plain(image), output, rtol=1e-4, atol=1e-5)
            assert output.shape[1] == source.settings.out_channels
            assert not torch.equal(FoldSource.from_bundle(folder, 0.1)(image), output)

    def test_sweep_tells_scores_costs_and_columns(self, trained: tuple[str, Path], tmp_path: Path) -> None:
        name, folder = trained
        task = task_named(name)
        workload = open_workload(folder, data_of(folder), part="all", limit=2)
        frontier = sweep(workload, PHIS, tmp_path, SweepOptions(rounds=0, memory=False, bootstrap=20))
        assert frontier is not None and frontier.rows[0].flops < frontier.rows[1].flops
        for row in frontier.rows:
            assert set(row.extra) == {column.name for column in task.columns}
            assert set(row.labels) == set(frontier.labels) and len(row.cases) == 2
            assert row.score.mean is not None and 0 <= row.score.mean <= 1
        assert frontier.metric["name"] == workload.metric_facts["name"] and task.scores
        frontier.write(tmp_path / "frontier.json")
        assert read_frontier(tmp_path) == frontier
        header = (tmp_path / "frontier.csv").read_text().splitlines()[0].split(",")
        assert {column.name for column in task.columns} <= set(header)

        write_report(frontier, tmp_path / "report.html", [example_of(workload, frontier)])
        page = (tmp_path / "report.html").read_text()
        assert workload.names[0] in page and f"2 {task.case_noun}s" in page and page.count('data-phi="') == 2
        assert all(column.title in page for column in task.columns)

    def test_fold_runs_alone(self, trained: tuple[str, Path], tmp_path: Path) -> None:
        _, folder = trained
        source = FoldSource.from_bundle(folder, 0.3)
        size = (16,) * source.settings.spatial_dims
        inputs = Inputs(source, size=size)
        stock = source.folding.stock_bundle()
        formats = ["bundle"] if isinstance(stock, StockBundle) else ["torchscript"]
        fold_bundle(folder, 0.3, tmp_path / "fold", formats, size=size)
        network = torch.jit.load(tmp_path / "fold" / "models" / "model.ts")
        with torch.inference_mode():
            torch.testing.assert_close(network(inputs.example()), source(inputs.example()), rtol=1e-3, atol=1e-4)
        manifest = read_manifest(tmp_path / "fold")
        assert (manifest["task"], manifest["phi"]) == (source.settings.task, [0.3])
        assert ("bundle" in manifest) == isinstance(stock, StockBundle)

    def test_a_case_of_its_data_is_what_folds_are_compared_on(self, trained: tuple[str, Path]) -> None:
        _, folder = trained
        source = FoldSource.from_bundle(folder, 0.3)
        folding = source.folding
        name, files = folding.test_case(data_of(folder))
        image = folding.prepared(folding.read(files))
        assert name and image.shape[:2] == (1, source.settings.in_channels)
        assert image.dim() == 2 + source.settings.spatial_dims and image.isfinite().all()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_the_scores_that_it_names(name: str) -> None:
    task = task_named(name)
    for score in task.scores:
        assert task.metric(score) is None or task.metric(score).key == score
    assert task.metric() == task.metric(task.scores[0])


def test_names_of_scores_are_those_that_are_measured() -> None:
    assert tuple(METRICS) == LABEL_SCORES


@pytest.mark.parametrize("name", TASKS)
def test_commands_of_a_task_are_commands_of_the_program(name: str) -> None:
    commands = program().commands
    for word in task_named(name).commands:
        assert commands[word].name == word


def test_asking_for_commands_imports_nothing_heavy() -> None:
    code = """
import sys
from monai_hyperscale.tasks import TASKS, task_named
assert [task_named(name).commands for name in TASKS]
heavy = {"torch", "monai", "numpy", "click"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


def test_a_training_without_labels_reports_the_correlation() -> None:
    task = task_named("registration")
    scores = [task.trained_score(task.settings(2, ("MRI",), labels=labels)) for labels in ({}, {1: "a"})]
    assert scores == ["correlation", None] and task_named("segmentation").trained_score(None) is None
