"""A folded network as safetensors: its plain state dict, and a header that says how to build the network."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Union

import torch.nn as nn

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings
from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.source import FoldSource

__all__ = ["load_folded", "save_folded"]


def save_folded(source: FoldSource, path: Union[str, Path]) -> None:
    """Write the state dict of a folded network.

    Args:
        source: the network and its φ.
        path: where to.
    """
    from safetensors.torch import save_file

    described = {"format": 1, "task": source.settings.task, **asdict(source.settings)}
    # The values of such a header are strings.
    header = {"format": "pt", "model": json.dumps(described), "context": json.dumps(dict(source.context))}
    state = {name: value.contiguous() for name, value in source.plain.state_dict().items()}
    save_file(state, str(path), header)


def load_folded(path: Union[str, Path]) -> nn.Module:
    """Rebuild a folded network from the ``model.safetensors`` that ``fold`` wrote.

    Args:
        path: of the file.

    Returns:
        the plain network, which maps (B, C, *sizes) to (B, C', *sizes), on the CPU, without gradients.

    Raises:
        ExportError: if the file is missing, damaged, or was not written by ``fold``.

    Example:
        >>> load_folded("model.safetensors")
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.ExportError: no folded network at model.safetensors; name the file that fold wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"no folded network at {path}; name the file that fold wrote.")
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise ExportError("safetensors is not installed: pip install 'monai-hyperscale[export]'.") from error
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
        with tempfile.TemporaryDirectory() as folder:
            described = Path(folder) / "model.json"
            described.write_text(header["model"], encoding="utf-8")
            settings = read_settings(described, NetworkSettings)
        plain = build_network(settings).fold(**json.loads(header["context"]))
        plain.load_state_dict(state)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ExportError(f"{path} is damaged or was not written by fold ({first_line(error)}).") from error
    return plain.eval().requires_grad_(False)
