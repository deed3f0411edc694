"""Fingerprints of files, and of what is ready for JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Union

__all__ = ["digest", "sha256"]


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
