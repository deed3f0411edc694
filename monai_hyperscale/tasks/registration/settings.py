"""What a trained registration network is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

import torch.nn as nn

from monai_hyperscale.bundle.network_settings import NetworkSettings, Range
from monai_hyperscale.context import ContextNumber, ContextSpec


@dataclass(frozen=True)
class RegistrationSettings(NetworkSettings):
    """A trained registration network, which takes two images of the same channels, the moving one first.

    Args:
        sizes: what the images were padded or cropped to in training, in voxels; ``None`` where they were not.
        head_features: features that the network hands to the convolution that makes the field.
        integration_steps: see :class:`RegistrationNetwork`, as ``field_scale`` and ``passes``.
        loss: arguments of :class:`RegistrationLoss` in training.
        regularization: least and greatest λ seen in training where it is a number the weights are generated from
            (Hoopes et al., HyperMorph, 2021); ``None`` where they know of φ alone.
        labels: name of every label that validation compared.
        others: see :class:`NetworkSettings`.

    Example:
        >>> RegistrationSettings(3, ("MRI",), regularization=(0.0, 1.0)).context(phi=0.25)
        Context(phi=0.25, regularization=0.5)
    """

    task: ClassVar[str] = "registration"

    sizes: Optional[tuple[int, ...]] = None
    head_features: int = 16
    integration_steps: int = 0
    field_scale: float = 1.0
    passes: int = 1
    loss: dict[str, Any] = field(default_factory=dict)
    regularization: Optional[Range] = None
    labels: dict[int, str] = field(default_factory=dict)

    @property
    def velocity_steps(self) -> int:
        """Steps from the one velocity that makes the field to the field; 0 where there is no such velocity."""
        return self.integration_steps if self.passes == 1 else 0

    @property
    def in_channels(self) -> int:
        return 2 * len(self.channels)

    @property
    def out_channels(self) -> int:
        return self.spatial_dims

    def primary(self, weights: Optional[Union[str, Path]] = None) -> nn.Module:
        # Here, because VoxelMorph takes seconds to import and a segmentation does without.
        from monai_hyperscale.registration.network import RegistrationNetwork

        backbone = self.phi_network(self.head_features, weights)
        options: dict[str, Any] = {"integration_steps": self.integration_steps, "field_scale": self.field_scale}
        return RegistrationNetwork(backbone, self.spatial_dims, passes=self.passes, **options)

    @property
    def context(self) -> ContextSpec:
        spec = super().context
        if self.regularization is None:
            return spec
        low, high = self.regularization
        return ContextSpec(*spec, ContextNumber("regularization", low, high, default=(low + high) / 2))

    def facts(self) -> dict[str, Any]:
        return {
            "labels": {str(value): name for value, name in sorted(self.labels.items())},
            "sizes": None if self.sizes is None else list(self.sizes),
            "integration_steps": self.integration_steps,
            "field_scale": self.field_scale,
            "passes": self.passes,
            "regularization": None if self.regularization is None else list(self.regularization),
        }

    def description(self) -> list[tuple[str, str]]:
        steps, scale, passes = self.integration_steps, self.field_scale, self.passes
        field = f"velocity, integrated in {steps} steps" if steps else "displacement"
        field += "" if scale == 1 else f", at {scale:g} of the size"
        field += "" if passes == 1 else f", in {passes} passes"
        if self.regularization is not None:
            low, high = self.regularization
            field += f", smoothness from {low:g} to {high:g}"
        return [("field", field)]

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        content = super().metadata(content)
        data_format = content["network_data_format"]
        both = [f"{image} {name}" for image in ("moving", "fixed") for name in self.channels]
        data_format["inputs"]["image"]["channel_def"] = {str(index): name for index, name in enumerate(both)}
        axes = {str(axis): f"displacement along array axis {axis}, voxels" for axis in range(self.spatial_dims)}
        data_format["outputs"]["pred"]["channel_def"] = axes
        told = {name.partition("validation_")[2]: value for name, value in self.provenance.items()}
        return {**content, "eval_metrics": {name: value for name, value in told.items() if name}}
