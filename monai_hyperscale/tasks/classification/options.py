"""The options of classification's training."""

from __future__ import annotations

from typing import ClassVar

from monai_hyperscale.tasks.classification.settings import ClassificationSettings
from monai_hyperscale.training.options import InferenceOptions, TrainingOptions

__all__ = ["ClassificationOptions", "InferenceOptions"]


class ClassificationOptions(TrainingOptions):
    """See :class:`TrainingOptions`."""

    data: ClassVar[str] = "a folder with one folder of images per class"

    def settings(self) -> ClassificationSettings:
        return ClassificationSettings(labels={0: "x", 1: "y"}, **self.shared_settings())
