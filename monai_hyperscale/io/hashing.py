"""Fingerprints of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Union

__all__ = ["sha256"]

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
