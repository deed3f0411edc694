"""What a trained network is: ``models/model.json``, plain data beside the tensors of ``models/model.pt``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional, TypeVar, Union, overload

from pydantic import TypeAdapter, ValidationError

from monai_hyperscale.bundle.network_settings import NetworkSettings, lists_to_tuples
from monai_hyperscale.errors import CheckpointError, first_line, first_mistake
from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.io.files import write_text
from monai_hyperscale.tasks import TASKS, task_named

FORMAT = 1
_NOT_OURS = "does not describe a network of this package"

Settings = TypeVar("Settings", bound=NetworkSettings)


@overload
def read_settings(path: Union[str, Path]) -> NetworkSettings: ...


@overload
def read_settings(path: Union[str, Path], kind: type[Settings]) -> Settings: ...


def read_settings(path: Union[str, Path], kind: type[NetworkSettings] = NetworkSettings) -> NetworkSettings:
    """Read ``model.json``, of a ``kind`` of settings where only one task will do.

    A :class:`CheckpointError` if it is missing, is not JSON, or does not describe a network for that task.
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
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} {_NOT_OURS}: expected a JSON object of format {FORMAT}.")
    task = content.get("task")
    if task not in TASKS:
        raise CheckpointError(f"{path} {_NOT_OURS}: expected a task of {', '.join(TASKS)}, got {task!r}.")
    described = {name: value for name, value in content.items() if name not in ("format", "task")}
    reader: TypeAdapter[NetworkSettings] = TypeAdapter(task_named(task).settings)
    try:
        settings = reader.validate_python(described)
    except ValidationError as error:
        raise CheckpointError(f"{path} {_NOT_OURS}: {first_mistake(error)}.") from error
    if not isinstance(settings, kind):
        raise CheckpointError(
            f"{path} describes a network for {settings.task}, expected one for {kind.task}: name a bundle of that task."
        )
    return settings


def write_settings(settings: NetworkSettings, path: Union[str, Path]) -> None:
    """Write ``model.json``, whole or not at all."""
    content = {"format": FORMAT, "task": settings.task, **asdict(settings)}
    write_text(path, json.dumps(content, indent=2) + "\n")


def build_network(
    settings: NetworkSettings,
    defaults: Optional[Mapping[str, Any]] = None,
    weights: Optional[Union[str, Path, Mapping[str, Any]]] = None,
) -> HyperNetwork:
    """Build the hypernetwork that ``settings`` describe; a :class:`CheckpointError` if arguments or weights do not fit.

    Args:
        settings: of the network.
        defaults: values of the context for calls that name none, such as ``{"phi": 0.3}``; see :class:`HyperNetwork`.
        weights: to start from, instead of fresh ones: the state dict of the same primary network; or, for MONAI's
            networks, the file of weights of one.

    Example:
        >>> from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
        >>> settings = SegmentationSettings(2, ("MRI",), {1: "tumour"}, network={"features": (4, 4)})
        >>> build_network(settings).primary.out_channels
        2
    """
    try:
        if isinstance(weights, Mapping):
            primary = settings.primary()
            primary.load_state_dict(weights)
        else:
            primary = settings.primary(weights)
        generator = build_generator(**{"name": "mlp", **lists_to_tuples(settings.generator)})
        context = settings.context.with_defaults(**(defaults or {}))
        return HyperNetwork(primary, generator, settings.selection(primary), context)
    except CheckpointError:
        raise
    # Whatever a network of another library makes of arguments that it cannot work with.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"the settings do not make a network: {first_line(error)}.") from error


def write_metadata(settings: NetworkSettings, template: Union[str, Path], path: Union[str, Path]) -> None:
    """Write the ``metadata.json`` of another trained network in MONAI's terms, from a bundle's own as the template."""
    content = settings.metadata(json.loads(Path(template).read_text(encoding="utf-8")))
    write_text(path, json.dumps(content, indent=2) + "\n")
