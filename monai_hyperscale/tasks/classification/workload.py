"""Classification networks measured on images by class, their score, and what their folds are compared on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from monai.metrics import Cumulative

from monai_hyperscale.errors import DatasetError
from monai_hyperscale.export.folding import ImageFolding
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.inference.networks import TrainedNetwork
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.search.workload import CaseResult, Workload, WorkloadOptions, case_errors
from monai_hyperscale.tasks.classification.data import preprocessing, read_classes
from monai_hyperscale.tasks.classification.settings import ClassificationSettings


@dataclass(frozen=True)
class ClassScore:
    """A score of classes, with what :class:`~monai_hyperscale.search.Metric` says of itself."""

    key: str
    name: str
    higher_is_better: bool = True

    def __call__(self, scores: torch.Tensor, wanted: int) -> float:
        """Return 1 where the greatest of the scores (classes,) is of the class ``wanted``, else 0."""
        return float(int(scores.argmax()) == wanted)


ACCURACY = ClassScore("accuracy", "accuracy")


class Correct(Cumulative):
    """Measure the classes of a validation, one row per case; what :class:`PhiValidation` asks for."""

    def __call__(self, predicted: Sequence[torch.Tensor], wanted: Sequence[Any]) -> torch.Tensor:
        """Measure and keep the scores (classes,) of cases against their classes; return (B, 1) in float64."""
        rows = [[ACCURACY(scores, int(index))] for scores, index in zip(predicted, wanted, strict=True)]
        found = torch.tensor(rows, dtype=torch.float64)
        self.extend(found)
        return found

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the share of cases that are right."""
        return torch.as_tensor(self.get_buffer()).mean()


class Classifier(TrainedNetwork):
    """A trained classification network, see :class:`TrainedNetwork`."""

    kind = ClassificationSettings


class ClassificationWorkload(Workload):
    """A classification network and images whose class is known."""

    def __init__(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> None:
        options.refuse("pairs", "atlas", "atlas_label", other="networks that take two images")
        self._classifier = Classifier.from_bundle(bundle, options.device)
        settings = self._classifier.settings
        super().__init__(bundle, dataset_dir, options, settings)
        found = read_classes(dataset_dir)
        check_kind(settings, found, dataset_dir)
        if found.labels != settings.labels:
            raise DatasetError(
                f"the network was trained for the classes {', '.join(settings.labels.values())}, {dataset_dir} has "
                f"{', '.join(found.labels.values())}; name data of the same classes."
            )
        self._cases = cases_of_part(found.cases, settings.provenance, self.title, self.part)[: options.limit]
        self._prepare = preprocessing(settings.channels, settings.spatial_dims, settings.spacing)
        self.names = [str(case["name"]) for case in self._cases]
        self.labels = settings.facts()["labels"]
        self.choices = {"metric": self.metric.key}

    def run(self, phi: Phi) -> FoldedInference:
        return FoldedInference(self._classifier.fold(phi), PhiInferer())

    def network_input(self, index: int) -> torch.Tensor:
        with case_errors(self.names[index]):
            image: torch.Tensor = self._prepare(self._cases[index])["image"]
        return image[None].to(self.device)

    def measure(self, index: int, run: FoldedInference) -> CaseResult:
        # Under its own class.
        wanted = self._cases[index]["class"]
        score = self.metric(run(self.network_input(index))[0].cpu(), wanted)
        return CaseResult({value: score if value == str(wanted) else None for value in self.labels})

    def example(
        self, index: int, runs: Mapping[tuple[float, ...], FoldedInference]
    ) -> tuple[dict[str, np.ndarray], dict[tuple[float, ...], np.ndarray]]:
        # The probability of every class.
        image = self.network_input(index)
        found = {phi: run(image)[0].softmax(0).cpu().numpy() for phi, run in runs.items()}
        return {"image": image[0, 0].cpu().numpy()}, found


class ClassificationFolding(ImageFolding[ClassificationSettings]):
    """Images prepared as in training, see :class:`Folding`."""

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        found = read_classes(dataset_dir)
        check_kind(self.settings, found, dataset_dir)
        case = cases_of_part(found.cases, self.settings.provenance, dataset_dir.expanduser().resolve().name, "test")[0]
        return str(case["name"]), [case["image"]]

    def stock_bundle(self) -> str:
        return "classes are not written by it yet; the TorchScript file beside it runs without this package"
