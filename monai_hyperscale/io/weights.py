"""Weights and checkpoints on disk: tensors and plain data only, written whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Union

import torch

from monai_hyperscale.errors import CheckpointError, first_line
from monai_hyperscale.io.atomic import replacing

__all__ = ["load_weights", "save_atomically"]


def load_weights(path: Union[str, Path]) -> dict[str, Any]:
    """Load a state dict or checkpoint onto the CPU, with ``weights_only=True``: no code in the file can run.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds more than tensors and plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}: train first, or name a bundle that has them.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes lead torch's unpickler to errors of any kind
        if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in str(error):
            raise CheckpointError(
                f"{path} is damaged or not a weights file: it holds more than tensors and plain data, which is not "
                "loaded because it may run code; save the network's state_dict() instead."
            ) from error
        reason = f" ({first_line(error)})" if isinstance(error, (RuntimeError, OSError, EOFError)) else ""
        raise CheckpointError(f"{path} is damaged or not a weights file{reason}; restore it or train again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a dictionary of tensors, got {type(content).__name__}.")
    return content


def save_atomically(content: Any, path: Union[str, Path]) -> None:
    """Save with ``torch.save`` so that a kill at any moment leaves the previous file or the new one whole."""
    with replacing(path) as temporary:
        torch.save(content, temporary)
