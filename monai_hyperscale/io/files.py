"""Files that are written whole or not at all, their fingerprints, and weights on disk: tensors and plain data only."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import torch

from monai_hyperscale.errors import CheckpointError, first_line

#: How the names of unfinished files begin; a kill can leave one behind.
PARTIAL = ".partial-"


@contextmanager
def replacing(path: Union[str, Path]) -> Iterator[Path]:
    """Give a temporary path beside ``path``, with its suffixes; put it in place of ``path`` when the block ends well.

    A kill at any moment leaves the previous file or the new one, never a part.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix="".join(path.suffixes[-2:]), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give what an ordinary open() would.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Union[str, Path]) -> str:
    """Return the SHA-256 of a file, in hexadecimal; a large file is never in memory as a whole."""
    with open(path, "rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(2**20):
            found.update(chunk)
    return found.hexdigest()


def digest(content: Any) -> str:
    """Return a short fingerprint of what is ready for JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_weights(path: Union[str, Path]) -> dict[str, Any]:
    """Load a state dict or checkpoint onto the CPU, with ``weights_only=True``: no code in the file can run.

    A :class:`CheckpointError` if the file is missing, damaged, or holds more than tensors and plain data.
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
