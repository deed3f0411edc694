"""What a trained network is: the JSON file that lies beside its weights.

``models/model.pt`` holds tensors only, as MONAI's tools expect; ``models/model.json`` says how to build the network
they belong to and how its images are prepared. Both are data: nothing in them is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Optional, Union

import torch.nn as nn

from monai_hyperscale.bundle.architectures import build_primary
from monai_hyperscale.bundle.methods import METHODS
from monai_hyperscale.errors import CheckpointError, first_line
from monai_hyperscale.hypernet import HyperNetwork, build_generator, select_parameters
from monai_hyperscale.io.atomic import write_text

__all__ = ["ModelSettings", "build_network", "read_settings", "write_metadata", "write_settings"]

FORMAT = 1


@dataclass(frozen=True)
class ModelSettings:
    """A trained segmentation network's architecture, data and range of φ.

    Args:
        spatial_dims: 2 or 3, of the network.
        channels: name of every input channel, such as ``("MRI",)``; they choose the intensity preprocessing.
        labels: name of every class index but the background's, 0.
        label_values: value of every class index, background included, in the label files it was trained on and
            writes; ``None`` where they are the indices.
        spacing: voxel size in mm that images are resampled to, or ``None`` to keep the images' own.
        ct_window: least and greatest Hounsfield units that are told apart in CT channels.
        roi_size: window of sliding-window inference for images too large to go through whole, or ``None``.
        phi_range: least and greatest φ seen in training.
        network: ``name`` of the primary network, ``ScaleSpaceUNet`` by default, and its arguments beyond dimensions
            and channels; see :func:`build_primary`.
        generator: ``name`` of the generator, ``mlp`` by default, and its arguments; see :func:`build_generator`.
        slices: whether a 2D network runs over the axial slices of volumes.
        provenance: how the weights came about, for people.
        method: what it was trained as: ``sshn``, or one of the baselines ``fixed``, ``stochastic`` and ``film``.
        select: which parameters are generated, see :func:`select_parameters`. ``None``: convolutions; with the
            generator ``film`` the norms' scales and shifts where the network has them.
        per_level: whether φ is one factor per level, rather than one for all.
        rescale_input: whether the input itself has a factor, which is then the first level's.
    """

    spatial_dims: int
    channels: tuple[str, ...]
    labels: dict[int, str]
    label_values: Optional[tuple[int, ...]] = None
    spacing: Optional[tuple[float, ...]] = None
    ct_window: tuple[float, float] = (-200.0, 300.0)
    roi_size: Optional[tuple[int, ...]] = None
    phi_range: tuple[float, float] = (0.0, 0.5)
    network: dict[str, Any] = field(default_factory=dict)
    generator: dict[str, Any] = field(default_factory=dict)
    slices: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    method: str = "sshn"
    select: Optional[Union[str, tuple[str, ...]]] = None
    per_level: bool = False
    rescale_input: bool = False

    @property
    def file_dims(self) -> int:
        """Spatial dimensions of the image files: 3 for volumes that a 2D network sees slice by slice."""
        return 3 if self.slices else self.spatial_dims

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return len(self.channels)

    @property
    def out_channels(self) -> int:
        """Channels of the logits: the background and every label up to the greatest value."""
        return 1 + max(self.labels)

    def trained_for(self, factors: Sequence[float]) -> bool:
        """Return whether φ, one factor or one per level, lies in the range seen in training.

        Example:
            >>> settings = ModelSettings(2, ("MRI",), {1: "tumour"}, per_level=True, rescale_input=True)
            >>> settings.trained_for((0.6,)), settings.trained_for((1.0, 0.5, 0.3))
            (False, True)
        """
        low, high = self.phi_range
        if self.rescale_input and len(factors) > 1:
            if not 2 * low <= factors[0] <= 2 * high:
                return False
            factors = factors[1:]
        return all(low <= factor <= high for factor in factors)


def read_settings(path: Union[str, Path]) -> ModelSettings:
    """Read ``model.json``.

    Raises:
        CheckpointError: if the file is missing, is not JSON, or does not describe a network.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"no description of a trained network at {path}: train one, or name a bundle that has it."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not a readable JSON file ({error}); restore it or train again.") from error
    try:
        return _from_json(content)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path} does not describe a network of this package: {error}.") from error


def write_settings(settings: ModelSettings, path: Union[str, Path]) -> None:
    """Write ``model.json``, whole or not at all."""
    content = {"format": FORMAT, "task": "segmentation", **asdict(settings)}
    write_text(path, json.dumps(content, indent=2) + "\n")


def build_network(
    settings: ModelSettings, default_phi: Any = None, weights: Optional[Union[str, Path, Mapping[str, Any]]] = None
) -> HyperNetwork:
    """Build the hypernetwork that ``settings`` describe, with fresh weights.

    Args:
        settings: of the network.
        default_phi: see :class:`HyperNetwork`.
        weights: to start from, see :func:`build_primary`.

    Raises:
        CheckpointError: if the arguments do not make a network, or ``weights`` are not of it.

    Example:
        >>> settings = ModelSettings(2, ("MRI",), {1: "tumour"}, network={"features": (4, 4)})
        >>> build_network(settings).primary.out_channels
        2
        >>> levels = ModelSettings(2, ("MRI",), {1: "tumour"}, network={"features": (4, 4, 4)}, per_level=True)
        >>> build_network(levels).contexts
        2
    """
    try:
        primary = build_primary(
            settings.spatial_dims,
            settings.in_channels,
            settings.out_channels,
            _lists_to_tuples(settings.network),
            settings.rescale_input,
            weights,
        )
        generator = build_generator(**{"name": "mlp", **_lists_to_tuples(settings.generator)})
        contexts = primary.levels if settings.per_level else 1
        return HyperNetwork(primary, generator, _selection(settings, primary), contexts, default_phi)
    except CheckpointError:
        raise
    # Whatever a network of another library makes of arguments that it cannot work with.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the settings do not make a network: {first_line(error)}.") from error


def _selection(settings: ModelSettings, primary: nn.Module) -> Union[str, tuple[str, ...]]:
    if settings.select is not None:
        return settings.select
    # Where one φ keeps its weights, the norms' scale and shift may differ from them only by being generated.
    kept = settings.generator.get("reference") is not None
    if settings.generator.get("name") != "film" and not kept:
        return "convolutions"
    try:
        select_parameters(primary, "norms")
    except ValueError:  # none of them has a scale and a shift
        return "convolutions"
    return "convolutions+norms" if kept else "norms"


def write_metadata(settings: ModelSettings, template: Union[str, Path], path: Union[str, Path]) -> None:
    """Write a bundle's ``metadata.json`` for another trained network, in the terms of MONAI's bundle specification.

    Args:
        settings: the network.
        template: the ``metadata.json`` to start from.
        path: where to write, whole or not at all.
    """
    content = json.loads(Path(template).read_text(encoding="utf-8"))
    names = {0: "background", **settings.labels}
    image = content["network_data_format"]["inputs"]["image"]
    pred = content["network_data_format"]["outputs"]["pred"]
    sizes = ["n"] * settings.spatial_dims
    channels = {str(index): name for index, name in enumerate(settings.channels)}
    image.update(num_channels=settings.in_channels, spatial_shape=sizes, channel_def=channels)
    labels = {str(index): names.get(index, "unused") for index in range(settings.out_channels)}
    pred.update(num_channels=settings.out_channels, spatial_shape=sizes, channel_def=labels)
    files = settings.label_values or tuple(range(settings.out_channels))
    image["modality"] = ", ".join(settings.channels)
    content["data_type"] = "nifti" if settings.file_dims == 3 else "2D image files"
    content["eval_metrics"] = {"mean_dice": settings.provenance.get("validation_dice", 0)}
    source = settings.provenance.get("data", "a user's data")
    content.update(
        description=f"A scale-space hypernetwork trained on {source}.",
        data_source=source,
        image_classes=", ".join(settings.channels),
        label_classes=", ".join(f"{files[index]}: {name}" for index, name in names.items()),
        pred_classes=f"{settings.out_channels} channels of logits",
    )
    write_text(path, json.dumps(content, indent=2) + "\n")


def _from_json(content: Mapping[str, Any]) -> ModelSettings:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"expected a JSON object of format {FORMAT}")
    if content.get("task") != "segmentation":
        raise ValueError(f"expected task 'segmentation', got {content.get('task')!r}")
    known = {item.name for item in fields(ModelSettings)}
    values = {name: value for name, value in content.items() if name in known}
    labels = {int(value): str(name) for value, name in values["labels"].items()}
    if not labels or min(labels) < 1:
        raise ValueError(f"labels must name values of 1 and more, got {labels}")
    if values.get("label_values") is not None and len(values["label_values"]) != 1 + max(labels):
        raise ValueError(f"label_values must name {1 + max(labels)} values, got {values['label_values']}")
    low, high = (float(value) for value in values["phi_range"])
    if values["spatial_dims"] not in (2, 3) or not values["channels"] or not 0 <= low <= high <= 1:
        raise ValueError("spatial_dims must be 2 or 3, channels not empty, and phi_range two numbers in [0, 1]")
    values["labels"], values["phi_range"] = labels, (low, high)
    values["channels"] = tuple(str(name) for name in values["channels"])
    if "ct_window" in values:
        values["ct_window"] = tuple(float(value) for value in values["ct_window"])
    if values.get("method", "sshn") not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {values['method']!r}")
    for name in ("per_level", "rescale_input"):
        if values.get(name, False) not in (True, False):
            raise ValueError(f"{name} must be true or false, got {values[name]!r}")
    if isinstance(values.get("select"), list):
        values["select"] = tuple(values["select"])
    for name in ("spacing", "roi_size", "label_values"):
        values[name] = None if values.get(name) is None else tuple(values[name])
    return ModelSettings(**values)


def _lists_to_tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
