"""``manifest.json``: what a fold is, how it was checked, and its files with sizes and hashes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Union

import torch

import monai_hyperscale
from monai_hyperscale.errors import ExportError
from monai_hyperscale.io.hashing import sha256

__all__ = ["MANIFEST", "file_entries", "input_text", "is_fold", "read_manifest", "versions"]

#: The file's name.
MANIFEST = "manifest.json"


def versions() -> dict[str, str]:
    """Return the versions of what made the files; of what is installed."""
    found = {"python": platform.python_version(), "monai_hyperscale": monai_hyperscale.__version__}
    found["torch"] = torch.__version__
    for name in ("monai", "numpy", "onnx", "onnxscript", "onnxruntime", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_entries(folder: Path, known: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return path, size and hash of every file in a folder but the manifest, with what else is known of it.

    Args:
        folder: of the fold.
        known: further entries by the file's path in the folder.
    """
    entries = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            entries.append({"path": name, "bytes": path.stat().st_size, "sha256": sha256(path), **known.get(name, {})})
    return entries


def input_text(verified_on: Mapping[str, Any]) -> str:
    """Return in words what the files of a fold were compared on.

    Args:
        verified_on: the entry of the manifest.

    Example:
        >>> input_text({"input": "a.nii.gz", "data": {"name": "liver", "part": "test", "case": "a"}})
        'a.nii.gz (test case a of liver)'
        >>> input_text({"input": "synthetic anatomy", "synthetic": True})
        'synthetic anatomy, no real image'
    """
    data = verified_on.get("data")
    if data:
        return f"{verified_on['input']} ({data['part']} case {data['case']} of {data['name']})"
    return f"{verified_on['input']}{', no real image' * bool(verified_on.get('synthetic'))}"


def read_manifest(folder: Union[str, Path]) -> dict[str, Any]:
    """Read the manifest of a fold.

    Raises:
        ExportError: if there is none, or it is not one of a fold.

    Example:
        >>> read_manifest("nowhere")
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.ExportError: nowhere holds no fold: there is no manifest.json that tells of one.
    """
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        content = None
    if not isinstance(content, dict) or content.get("kind") != "fold" or not isinstance(content.get("files"), list):
        raise ExportError(f"{folder} holds no fold: there is no {MANIFEST} that tells of one.")
    return content


def is_fold(folder: Path) -> bool:
    """Return whether a folder was written by ``fold``."""
    try:
        read_manifest(folder)
    except ExportError:
        return False
    return True
