"""Classification networks measured on images by class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch

from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.inference.networks import FoldedNetworks, model_folder, trained_network
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.search.workload import CaseResult, Workload, case_errors
from monai_hyperscale.tasks.classification.accuracy import ClassScore
from monai_hyperscale.tasks.classification.data import preprocessing, read_classes
from monai_hyperscale.tasks.classification.settings import ClassificationSettings

__all__ = ["ClassificationWorkload"]


class ClassificationWorkload(Workload):
    """A classification network and images whose class is known.

    Args:
        bundle: the trained network's folder.
        dataset_dir: of the images, see :func:`read_classes`.
        metric: the score.
        part: see :func:`cases_of_part`.
        limit: use only so many images.
        device: where networks run.

    Raises:
        CheckpointError: if there is no trained classification network.
        DatasetError: if the data set has other classes or images.
    """

    task = "classification"

    def __init__(
        self,
        bundle: Union[str, Path],
        dataset_dir: Union[str, os.PathLike],
        metric: ClassScore,
        part: str = "test",
        limit: Optional[int] = None,
        device: Union[str, torch.device] = "cpu",
    ) -> None:
        folder = model_folder(bundle)
        settings = read_settings(folder / "model.json", ClassificationSettings)
        title = Path(dataset_dir).resolve().name
        super().__init__(bundle, title, part, settings, torch.device(device))
        found = read_classes(dataset_dir)
        check_kind(settings, found, dataset_dir)
        if found.labels != settings.labels:
            raise DatasetError(
                f"the network was trained for the classes {', '.join(settings.labels.values())}, {dataset_dir} has "
                f"{', '.join(found.labels.values())}; name data of the same classes."
            )
        self._metric = metric
        self._folded = FoldedNetworks(trained_network(folder, settings), settings.spatial_dims, device)
        self._cases = cases_of_part(found.cases, settings.provenance, title, part)[:limit]
        self._prepare = preprocessing(settings.channels, settings.spatial_dims, settings.spacing)
        self.names = [str(case["name"]) for case in self._cases]
        self.labels = {str(index): name for index, name in settings.labels.items()}
        self.choices = {"metric": metric.key}

    @property
    def metric_facts(self) -> dict[str, Any]:
        """``name`` and ``higher_is_better`` of the score."""
        return {"name": self._metric.name, "higher_is_better": self._metric.higher_is_better}

    def run(self, phi: Phi) -> FoldedInference:
        """Return the network folded for φ, see :class:`Workload`."""
        return FoldedInference(self._folded.at(phi), PhiInferer())

    def image(self, sizes: Optional[Sequence[int]] = None) -> torch.Tensor:
        """Return a network's input to time, see :class:`Workload`."""
        if sizes is None:
            return self._image(0)
        if len(sizes) != self.settings.spatial_dims:
            raise DatasetError(f"a size of {self.settings.spatial_dims} numbers is needed, got {list(sizes)}.")
        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, self.settings.in_channels, *sizes, generator=generator).to(self.device)

    def measure(self, index: int, run: FoldedInference) -> CaseResult:
        """Return the score of an image under its own class, see :class:`Workload`."""
        wanted = self._cases[index]["class"]
        score = self._metric(run(self._image(index))[0].cpu(), wanted)
        return CaseResult({value: score if value == str(wanted) else None for value in self.labels})

    def example(
        self, index: int, runs: Mapping[tuple[float, ...], FoldedInference]
    ) -> tuple[dict[str, np.ndarray], dict[tuple[float, ...], np.ndarray]]:
        """Return an image, and the probability of every class at each φ."""
        image = self._image(index)
        found = {phi: run(image)[0].softmax(0).cpu().numpy() for phi, run in runs.items()}
        return {"image": image[0, 0].cpu().numpy()}, found

    def _image(self, index: int) -> torch.Tensor:
        with case_errors(self.names[index]):
            image: torch.Tensor = self._prepare(self._cases[index])["image"]
        return image[None].to(self.device)
