from __future__ import annotations

import subprocess
import sys

import pytest

from monai_hyperscale.cli.main import program
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.tasks import TASKS, task_named
from monai_hyperscale.tasks.base import LABEL_SCORES


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
