"""What a trained classification network is: a φ-encoder, the mean over the places of its last maps, a linear head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

import torch
from pydantic import model_validator
from torch import nn

from monai_hyperscale.bundle.network_settings import NetworkSettings, lists_to_tuples
from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.networks.nets.encoder import Encoder, EncoderNetwork


@dataclass(frozen=True)
class ClassificationSettings(NetworkSettings):
    """A trained classification network; ``labels`` is the name of every class by its index, from 0."""

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


class ScaleSpaceClassifier(EncoderNetwork):
    """An encoder whose maps are rescaled by φ between stages, and one score for each class.

    The mean over places makes the scores independent of the size of the last maps, so that any φ and any image size
    will do. The head is learned as usual; the weights of the convolutions are what a hypernetwork generates.
    """

    def make_body(self) -> nn.Module:
        return _Classifier(self)


class _Classifier(Encoder):
    def __init__(self, network: ScaleSpaceClassifier) -> None:
        super().__init__(network, network.in_channels)
        self.head = nn.Linear(network.features[-1], network.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, *sizes) to scores (B, classes)."""
        return self.head(self.encode(x)[-1].flatten(2).mean(2))
