"""From a bundle and a data set to what is measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Union

import torch

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.errors import FrontierError
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.search.metrics import metric_named
from monai_hyperscale.search.workload import Workload
from monai_hyperscale.tasks.registration.workload import PAIRS, RegistrationWorkload
from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload

__all__ = ["open_workload"]


def open_workload(
    bundle: Union[str, Path],
    dataset_dir: Union[str, os.PathLike],
    metric: str = "dice",
    tolerance: Optional[float] = None,
    part: str = "test",
    limit: Optional[int] = None,
    device: Union[str, torch.device] = "cpu",
    max_voxels: int = 2**24,
    regularization: Optional[float] = None,
    seed: int = 0,
) -> Workload:
    """Return a trained network with the cases that it is measured on, for either task.

    Args:
        bundle: the trained network's folder.
        dataset_dir: of the cases.
        metric: see :func:`metric_named`; ``correlation`` of the images for registration.
        tolerance: of surface Dice, in mm.
        part: see :func:`cases_of_part`.
        limit: how many cases; of registration how many pairs, 40 unless told otherwise.
        device: where networks run.
        max_voxels: of segmentation, most voxels of an image that goes through whole.
        regularization: λ, for registration networks trained for several.
        seed: of the draw of pairs.

    Raises:
        CheckpointError: if there is no trained network.
        DatasetError: if the data set does not fit it.
        FrontierError: if there is no such metric.
    """
    settings = read_settings(model_folder(bundle) / "model.json", NetworkSettings)
    if settings.task == "registration":
        score = None if metric == "correlation" else metric_named(metric, tolerance)
        pairs = PAIRS if limit is None else limit
        return RegistrationWorkload(bundle, dataset_dir, score, part, pairs, device, regularization, seed)
    if regularization is not None:
        raise FrontierError("a regularization is for registration networks; leave it out.")
    return SegmentationWorkload(bundle, dataset_dir, metric_named(metric, tolerance), part, limit, device, max_voxels)
