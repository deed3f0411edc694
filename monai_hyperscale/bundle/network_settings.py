"""What ``model.json`` says of a trained network whatever its task."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Optional, Union

import numpy as np
import torch.nn as nn
from pydantic import AfterValidator, ConfigDict, Field

from monai_hyperscale.bundle.architectures import build_primary
from monai_hyperscale.bundle.methods import method_name
from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.hypernet import select_parameters
from monai_hyperscale.io.grids import Grid
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.networks import ScaleSpaceNetwork


def _in_order(numbers: tuple[float, float]) -> tuple[float, float]:
    if numbers[0] > numbers[1]:
        raise ValueError("the least comes first")
    return numbers


def _case_names(provenance: dict[str, Any]) -> dict[str, Any]:
    cases = provenance.get("cases", {})
    if not isinstance(cases, dict) or not all(isinstance(names, list) for names in cases.values()):
        raise ValueError(f"cases must be lists of names, of train, validation and test, got {cases!r}")
    return provenance


_Share = Annotated[float, Field(ge=0, le=1)]
#: Least and greatest of numbers in [0, 1].
Range = Annotated[tuple[_Share, _Share], AfterValidator(_in_order)]
_Flag = Annotated[bool, Field(strict=True)]


@dataclass(frozen=True)
class NetworkSettings:
    """A trained network's architecture, images and range of φ; each task adds its own.

    Args:
        spatial_dims: 2 or 3, of the network.
        channels: name of every channel of an image, such as ``("MRI",)``.
        spacing: voxel size in mm that images are resampled to, or ``None`` to keep the images' own.
        seen: voxel size, extent and orientation of the training's images; ``None`` where nothing is known of them.
        phi_range: least and greatest φ seen in training.
        network: ``name`` of the primary network and its arguments, see :func:`build_primary`.
        generator: ``name`` of the generator and its arguments, see :func:`build_generator`.
        slices: whether a 2D network runs over the axial slices of volumes.
        provenance: how the weights came about: ``data``, the name of the data set, ``cases``, the names of those of
            ``train``, ``validation`` and ``test``, and more for people.
        method: what it was trained as: ``sshn``, or one of the baselines ``fixed``, ``stochastic`` and ``film``.
        select: which parameters are generated, see :func:`select_parameters`. ``None``: convolutions; with the
            generator ``film`` the norms' scales and shifts where the network has them.
        per_level: whether φ is one factor per level, rather than one for all.
        rescale_input: whether the input itself has a factor, which is then the first level's.
    """

    # What pydantic makes of `model.json`, see `read_settings`.
    __pydantic_config__ = ConfigDict(extra="forbid")
    task: ClassVar[str]

    spatial_dims: Annotated[int, Field(ge=2, le=3)]
    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    _: KW_ONLY
    spacing: Optional[tuple[float, ...]] = None
    seen: Optional[SeenImages] = None
    phi_range: Range = (0.0, 0.5)
    network: dict[str, Any] = field(default_factory=dict)
    generator: dict[str, Any] = field(default_factory=dict)
    slices: bool = False
    provenance: Annotated[dict[str, Any], AfterValidator(_case_names)] = field(default_factory=dict)
    method: Annotated[str, AfterValidator(method_name)] = "sshn"
    select: Optional[Union[str, tuple[str, ...]]] = None
    per_level: _Flag = False
    rescale_input: _Flag = False

    @property
    def file_dims(self) -> int:
        """Spatial dimensions of the image files: 3 for volumes that a 2D network sees slice by slice."""
        return 3 if self.slices else self.spatial_dims

    @property
    def in_channels(self) -> int:
        """Channels of the network's input."""
        return len(self.channels)

    @property
    def out_channels(self) -> int:
        """Channels of the network's output."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what networks of a task have beside all others, for JSON: ``labels``, names by value as text."""
        raise NotImplementedError

    def description(self) -> list[tuple[str, str]]:
        """Return what of :meth:`facts` needs words, as names and texts for people."""
        return []

    def spacing_for(self, affine: np.ndarray) -> Optional[tuple[float, ...]]:
        """Return the voxel size in mm, along R, A and S, at which a volume goes through the network; ``None``: its own.

        That is :attr:`spacing`; without one the training's, where the volume's own, by its affine, was not among it.
        """
        if self.spacing is not None or self.seen is None or self.file_dims == 2:
            return self.spacing
        return self.seen.spacing_for(affine, self.spatial_dims)

    def check_seen(self, name: str, grid: Grid, force: bool = False) -> Optional[str]:
        """Refuse an image that is far outside of what the network was trained on, see :meth:`SeenImages.check`."""
        if self.seen is None:
            return None
        return self.seen.check(name, grid.sizes, grid.affine, self.spatial_dims, force)

    def primary(self, weights: Optional[Union[str, Path]] = None) -> nn.Module:
        """Return the network whose weights are generated, fresh or from the file of a MONAI network's weights."""
        return self.phi_network(self.out_channels, weights)

    def phi_network(self, out_channels: int, weights: Optional[Union[str, Path]] = None) -> ScaleSpaceNetwork:
        """Return the φ-network that ``network`` names, see :func:`build_primary`."""
        network = lists_to_tuples(self.network)
        return build_primary(self.spatial_dims, self.in_channels, out_channels, network, self.rescale_input, weights)

    @property
    def context(self) -> ContextSpec:
        """The numbers that the weights are generated from, with the ranges seen in training."""
        low, high = self.phi_range
        count, first = None if self.per_level else 1, 2.0 if self.rescale_input else 1.0
        return ContextSpec(ContextNumber("phi", low, high, count, first))

    def selection(self, primary: nn.Module) -> Union[str, tuple[str, ...]]:
        """Return which parameters of ``primary`` are generated, see :func:`select_parameters`."""
        if self.select is not None:
            return self.select
        # Where one φ keeps its weights, the norms' scale and shift may differ from them only by being generated.
        kept = self.generator.get("reference") is not None
        if kept or self.generator.get("name") == "film":
            with contextlib.suppress(ValueError):  # none of the norms has a scale and a shift
                select_parameters(primary, "norms")
                return "convolutions+norms" if kept else "norms"
        return "convolutions"

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``metadata.json`` for this network, in MONAI's terms, from that of the bundle's own network."""
        inputs, outputs = content["network_data_format"]["inputs"], content["network_data_format"]["outputs"]
        sizes, names = {"spatial_shape": ["n"] * self.spatial_dims}, ", ".join(self.channels)
        image = {**inputs["image"], "num_channels": self.in_channels, **sizes, "modality": names}
        pred = {**outputs["pred"], "num_channels": self.out_channels, **sizes}
        source = self.provenance.get("data", "a user's data")
        return {
            **content,
            "data_type": "nifti" if self.file_dims == 3 else "2D image files",
            "description": f"A scale-space hypernetwork trained on {source}.",
            "data_source": source,
            "image_classes": names,
            "network_data_format": {"inputs": {**inputs, "image": image}, "outputs": {**outputs, "pred": pred}},
        }


def lists_to_tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments from a JSON file with its lists as the tuples that networks expect."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
