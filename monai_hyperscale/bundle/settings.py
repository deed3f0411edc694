"""What a trained network is: the JSON file that lies beside its weights.

``models/model.pt`` holds tensors only, as MONAI's tools expect; ``models/model.json`` says how to build the network
they belong to and how its images are prepared. Both are data: nothing in them is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional, TypeVar, Union, overload

from monai_hyperscale.bundle.network_settings import NetworkSettings, lists_to_tuples, numbers
from monai_hyperscale.bundle.registration import RegistrationSettings
from monai_hyperscale.errors import CheckpointError, first_line
from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.io.atomic import write_text

__all__ = ["ModelSettings", "build_network", "read_settings", "write_metadata", "write_settings"]

FORMAT = 1

Settings = TypeVar("Settings", bound=NetworkSettings)


@dataclass(frozen=True)
class ModelSettings(NetworkSettings):
    """A trained segmentation network's architecture, data and range of φ.

    Args:
        spatial_dims: 2 or 3, of the network.
        channels: name of every input channel, such as ``("MRI",)``; they choose the intensity preprocessing.
        labels: name of every class index but the background's, 0.
        label_values: value of every class index, background included, in the label files it was trained on and
            writes; ``None`` where they are the indices.
        ct_window: least and greatest Hounsfield units that are told apart in CT channels.
        roi_size: window of sliding-window inference for images too large to go through whole, or ``None``.
        others: see :class:`NetworkSettings`.
    """

    task: ClassVar[str] = "segmentation"

    labels: dict[int, str]
    label_values: Optional[tuple[int, ...]] = None
    ct_window: tuple[float, float] = (-200.0, 300.0)
    roi_size: Optional[tuple[int, ...]] = None

    @property
    def out_channels(self) -> int:
        """Channels of the logits: the background and every label up to the greatest value."""
        return 1 + max(self.labels)

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a bundle's ``metadata.json`` for this network, see :class:`NetworkSettings`."""
        content = super().metadata(content)
        names = {0: "background", **self.labels}
        data_format = content["network_data_format"]
        data_format["inputs"]["image"]["channel_def"] = {str(i): name for i, name in enumerate(self.channels)}
        classes = range(self.out_channels)
        data_format["outputs"]["pred"]["channel_def"] = {str(i): names.get(i, "unused") for i in classes}
        files = self.label_values or tuple(classes)
        return {
            **content,
            "eval_metrics": {"mean_dice": self.provenance.get("validation_dice", 0)},
            "label_classes": ", ".join(f"{files[index]}: {name}" for index, name in names.items()),
            "pred_classes": f"{self.out_channels} channels of logits",
        }

    @classmethod
    def values(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that the content of ``model.json`` means, see :class:`NetworkSettings`."""
        labels = {int(value): str(name) for value, name in content["labels"].items()}
        if not labels or min(labels) < 1:
            raise ValueError(f"labels must name values of 1 and more, got {labels}")
        if content.get("label_values") is not None and len(content["label_values"]) != 1 + max(labels):
            raise ValueError(f"label_values must name {1 + max(labels)} values, got {content['label_values']}")
        values = {**super().values(content), "labels": labels}
        if "ct_window" in values:
            values["ct_window"] = numbers(values["ct_window"])
        for name in ("roi_size", "label_values"):
            values[name] = None if values.get(name) is None else tuple(values[name])
        return values


_TASKS: dict[str, type[NetworkSettings]] = {kind.task: kind for kind in (ModelSettings, RegistrationSettings)}


@overload
def read_settings(path: Union[str, Path]) -> ModelSettings: ...


@overload
def read_settings(path: Union[str, Path], kind: type[Settings]) -> Settings: ...


def read_settings(path: Union[str, Path], kind: type[NetworkSettings] = ModelSettings) -> NetworkSettings:
    """Read ``model.json``.

    Args:
        path: of the file.
        kind: of settings, which tells the task: :class:`ModelSettings` for segmentation, :class:`RegistrationSettings`,
            or :class:`NetworkSettings` for either.

    Raises:
        CheckpointError: if the file is missing, is not JSON, or does not describe a network for that task.
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
        settings = _from_json(content)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path} does not describe a network of this package: {error}.") from error
    if not isinstance(settings, kind):
        raise CheckpointError(
            f"{path} describes a network for {settings.task}, expected one for {kind.task}: name a bundle of that task."
        )
    return settings


def _from_json(content: Any) -> NetworkSettings:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"expected a JSON object of format {FORMAT}")
    kind = _TASKS.get(str(content.get("task")))
    if kind is None:
        raise ValueError(f"expected a task of {', '.join(_TASKS)}, got {content.get('task')!r}")
    return kind(**kind.values(content))


def write_settings(settings: NetworkSettings, path: Union[str, Path]) -> None:
    """Write ``model.json``, whole or not at all."""
    content = {"format": FORMAT, "task": settings.task, **asdict(settings)}
    write_text(path, json.dumps(content, indent=2) + "\n")


def build_network(
    settings: NetworkSettings, default_phi: Any = None, weights: Optional[Union[str, Path, Mapping[str, Any]]] = None
) -> HyperNetwork:
    """Build the hypernetwork that ``settings`` describe, with fresh weights.

    Args:
        settings: of the network.
        default_phi: see :class:`HyperNetwork`.
        weights: to start from: the state dict of the same primary network; or, for MONAI's networks, the file of
            weights of one.

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
        if isinstance(weights, Mapping):
            primary = settings.primary()
            primary.load_state_dict(weights)
        else:
            primary = settings.primary(weights)
        generator = build_generator(**{"name": "mlp", **lists_to_tuples(settings.generator)})
        return HyperNetwork(primary, generator, settings.selection(primary), settings.contexts(primary), default_phi)
    except CheckpointError:
        raise
    # Whatever a network of another library makes of arguments that it cannot work with.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the settings do not make a network: {first_line(error)}.") from error


def write_metadata(settings: NetworkSettings, template: Union[str, Path], path: Union[str, Path]) -> None:
    """Write a bundle's ``metadata.json`` for another trained network, in the terms of MONAI's bundle specification.

    Args:
        settings: the network.
        template: the ``metadata.json`` to start from.
        path: where to write, whole or not at all.
    """
    content = settings.metadata(json.loads(Path(template).read_text(encoding="utf-8")))
    write_text(path, json.dumps(content, indent=2) + "\n")
