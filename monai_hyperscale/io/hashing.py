"""Fingerprints of files, and of what is ready for JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Union

__all__ = ["digest", "sha256"]

# Bytes that are read at once.
_CHUNK = 2**20


def sha256(path: Union[str, Path]) -> str:
    """Return the SHA-256 of a file, in hexadecimal; a large file is never in memory as a whole.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     sha256(file.name)[:16]
        'e3b0c44298fc1c14'
    """
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest(content: Any) -> str:
    """Return a short fingerprint of what is ready for JSON.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
