"""What a network can be trained for: one folder per task, and the list of them.

Everything else asks a task, found here by its name, and never looks at the name. A folder is loaded when its task is
first asked for. A new task is a folder with a ``task.py`` like the others, and its name in :data:`TASKS`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from monai_hyperscale.tasks.base import Column, Task

__all__ = ["TASKS", "Column", "Task", "task_named"]

#: Names of the tasks, which are those of their folders.
TASKS = ("segmentation", "registration", "classification")


def task_named(name: str) -> Task:
    """Return one of :data:`TASKS`; another name is a :class:`ValueError`.

    Example:
        >>> task_named("segmentation").settings.__name__
        'SegmentationSettings'
    """
    if name not in TASKS:
        raise ValueError(f"a task is one of {', '.join(TASKS)}, got {name!r}.")
    task: Task = import_module(f"{__name__}.{name}.task").TASK
    return task


def __getattr__(name: str) -> ModuleType:
    if name in TASKS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
