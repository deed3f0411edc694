"""What a trained classification network is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

from pydantic import model_validator

from monai_hyperscale.bundle.network_settings import NetworkSettings, lists_to_tuples
from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.tasks.classification.network import ScaleSpaceClassifier

__all__ = ["ClassificationSettings"]


@dataclass(frozen=True)
class ClassificationSettings(NetworkSettings):
    """A trained classification network's architecture, images and range of φ.

    Args:
        spatial_dims: 2 or 3.
        channels: name of every channel, see :class:`NetworkSettings`.
        labels: name of every class by its index, from 0.
        others: see :class:`NetworkSettings`; ``network`` has the arguments of :class:`ScaleSpaceClassifier`.

    Example:
        >>> settings = ClassificationSettings(2, ("grey",), {0: "disc", 1: "ring"}, network={"features": (4, 8)})
        >>> settings.out_channels, settings.primary().levels
        (2, 1)
    """

    task: ClassVar[str] = "classification"

    labels: dict[int, str]

    @property
    def out_channels(self) -> int:
        return len(self.labels)

    def primary(self, weights: Optional[Union[str, Path]] = None) -> ScaleSpaceClassifier:
        if weights is not None:
            raise CheckpointError(f"a classification starts from fresh weights, not from {weights}; leave that out.")
        options = lists_to_tuples(self.network)
        return ScaleSpaceClassifier(self.spatial_dims, self.in_channels, self.out_channels, **options)

    def facts(self) -> dict[str, Any]:
        return {"labels": {str(index): name for index, name in self.labels.items()}}

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        content = super().metadata(content)
        names = self.facts()["labels"]
        pred = content["network_data_format"]["outputs"]["pred"]
        pred |= {"spatial_shape": [], "channel_def": names}
        return {**content, "label_classes": ", ".join(f"{index}: {name}" for index, name in names.items())}

    @model_validator(mode="after")
    def _numbered_from_zero(self) -> ClassificationSettings:
        if sorted(self.labels) != list(range(len(self.labels))) or len(self.labels) < 2:
            raise ValueError(f"labels must name at least two classes, numbered from 0, got {self.labels}")
        return self
