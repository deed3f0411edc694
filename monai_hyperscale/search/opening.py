"""From a bundle and a data set to what is measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Union

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.search.workload import Workload, WorkloadOptions
from monai_hyperscale.tasks import task_named

__all__ = ["open_workload"]


def open_workload(bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], **options: Any) -> Workload:
    """Return a trained network with the cases that it is measured on, for whatever task.

    Args:
        bundle: the trained network's folder.
        dataset_dir: of the cases.
        options: see :class:`WorkloadOptions`.

    Raises:
        CheckpointError: if there is no trained network.
        DatasetError: if the data set does not fit it.
        FrontierError: if there is no such metric, or an option is not for networks of this task.
        PhiError: if the network takes no such number, or the number is not valid.
    """
    settings = read_settings(model_folder(bundle) / "model.json", NetworkSettings)
    chosen = WorkloadOptions(**options)
    settings.context.with_defaults(regularization=chosen.regularization)  # refuses what the network does not take
    return task_named(settings.task).workload(bundle, dataset_dir, chosen)
