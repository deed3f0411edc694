"""The options of segmentation's training and inference."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar, Optional, Union

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from monai_hyperscale.data import augmentation, write_synthetic_dataset
from monai_hyperscale.errors import ConfigError
from monai_hyperscale.tasks.segmentation.distillation import teacher_folders
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.training import options as kinds


def _teacher(value: Any) -> Any:
    teacher_folders(value)  # before any image is made or read
    return value


Teacher = Annotated[
    Union[str, tuple[str, ...]], BeforeValidator(_teacher), PlainSerializer(kinds.weights_digest, when_used="json")
]


class SegmentationInferenceOptions(kinds.InferenceOptions):
    """See :class:`InferenceOptions`."""

    data: ClassVar[str] = "a data set with labels"


class SegmentationOptions(kinds.TrainingOptions):
    """See :class:`TrainingOptions`, and the bundle's documentation."""

    data: ClassVar[str] = "a data set with labels"

    phis_per_step: kinds.Count = 1
    teacher: Optional[Teacher] = None
    teacher_phi: kinds.Phis = (0.3, 0.4, 0.5)
    channels: Optional[Annotated[tuple[str, ...], kinds.must_be("a list of names")]] = None
    roi_size: Optional[kinds.Sizes] = None
    augmentation: kinds.Arguments = Field(default_factory=dict)

    @model_validator(mode="after")
    def _together(self) -> SegmentationOptions:
        if self.batch_size % self.phis_per_step:
            raise ConfigError(f"phis_per_step must divide the batch_size {self.batch_size}, got {self.phis_per_step}.")
        if isinstance(self.roi_size, tuple) and len(self.roi_size) != self.spatial_dims:
            raise ConfigError(f"roi_size must be {self.spatial_dims} numbers above 0, got {list(self.roi_size)}.")
        return self

    def settings(self) -> SegmentationSettings:
        options = {name: value for name, value in self.augmentation.items() if name != "soft_labels"}
        try:
            augmentation(self.spatial_dims, (8,) * self.spatial_dims, **options)
            inspect.signature(write_synthetic_dataset).bind("folder", self.spatial_dims, **self.synthetic)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"augmentation or synthetic: {str(error).rstrip('.')}.") from None
        return SegmentationSettings(labels={1: "x"}, **self.shared_settings())
