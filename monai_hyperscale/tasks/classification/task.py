"""The task of classification, as the rest of the package asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.tasks.base import Task

if TYPE_CHECKING:
    from monai_hyperscale.report.cards import Card, KeyEntry
    from monai_hyperscale.search import WorkloadOptions
    from monai_hyperscale.tasks.classification.accuracy import ClassScore
    from monai_hyperscale.tasks.classification.folding import ClassificationFolding
    from monai_hyperscale.tasks.classification.options import ClassificationOptions
    from monai_hyperscale.tasks.classification.settings import ClassificationSettings
    from monai_hyperscale.tasks.classification.workload import ClassificationWorkload
    from monai_hyperscale.training.options import InferenceOptions

__all__ = ["TASK"]


class Classification(Task):
    """See :class:`Task`."""

    scores = ("accuracy",)
    trial = {
        "max_epochs": 1,
        "iterations_per_epoch": 2,
        "val_interval": 1,
        "batch_size": 2,
        "num_workers": 0,
        "network::features": [4, 4],
        "synthetic": {"cases": 12, "size": 20},
    }
    commands = {"classify": "monai_hyperscale.tasks.classification.classify:classify"}

    @property
    def settings(self) -> type[ClassificationSettings]:
        """What describes a trained network, see :class:`Task`."""
        from monai_hyperscale.tasks.classification.settings import ClassificationSettings

        return ClassificationSettings

    @property
    def bundle(self) -> Path:
        """Folder of the bundle, beside this file."""
        return Path(__file__).parent / "bundle"

    def facts(self, settings: ClassificationSettings) -> dict[str, Any]:
        """Return the classes, see :class:`Task`."""
        return {"labels": {str(index): name for index, name in settings.labels.items()}}

    @property
    def training_options(self) -> type[ClassificationOptions]:
        """See :class:`Task`."""
        from monai_hyperscale.tasks.classification.options import ClassificationOptions

        return ClassificationOptions

    @property
    def inference_options(self) -> type[InferenceOptions]:
        """Those that all tasks share, see :class:`Task`."""
        from monai_hyperscale.training.options import InferenceOptions

        return InferenceOptions

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> ClassScore:
        """Return accuracy, see :class:`Task`."""
        from monai_hyperscale.tasks.classification.accuracy import ACCURACY

        if name not in (None, ACCURACY.key) or tolerance is not None:
            raise FrontierError(f"classes are scored by {ACCURACY.key}, without a tolerance, got {name or tolerance}.")
        return ACCURACY

    def workload(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> ClassificationWorkload:
        """Return images by class with the network that tells them apart, see :class:`Task`."""
        from monai_hyperscale.tasks.classification.workload import ClassificationWorkload

        options.refuse("pairs", "atlas", "atlas_label", other="networks that take two images")
        metric = self.metric(options.metric, options.tolerance)
        return ClassificationWorkload(bundle, dataset_dir, metric, options.part, options.limit, options.device)

    def folding(self, settings: ClassificationSettings) -> ClassificationFolding:
        """Return what folded networks are compared on, see :class:`Task`."""
        from monai_hyperscale.tasks.classification.folding import ClassificationFolding

        return ClassificationFolding(settings)

    def prediction_shape(self, sizes: tuple[int, ...]) -> None:
        """Return ``None``: there are as many probabilities as classes."""
        return None

    def cards(
        self,
        example: Any,
        number: int,
        labels: Mapping[int, str],
        phi_name: Callable[[tuple[float, ...]], str],
        note: Callable[[tuple[float, ...]], Optional[str]],
    ) -> tuple[list[Card], list[KeyEntry]]:
        """Return the pictures of an example, see :class:`Task`."""
        from monai_hyperscale.tasks.classification.pictures import classification_cards, classification_key

        return classification_cards(example, number, labels, phi_name, note), classification_key(labels)


TASK = Classification()
