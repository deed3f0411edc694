"""Which keys a bundle's configuration may have: MONAI ignores mistyped ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from monai_hyperscale.bundle.locate import bundle_root
from monai_hyperscale.training.options import unknown_option

__all__ = ["check_keys", "compare_keys", "merge_keys"]

# What `monai.bundle run` and its relatives take themselves, and may leave in the configuration.
_RESERVED = {"_meta_", "run_id", "init_id", "final_id", "args_file", "workflow_name", "workflow_type"}
_TRACKING = cast(dict[str, dict[str, Any]], DEFAULT_MLFLOW_SETTINGS)
_RESERVED |= set(_TRACKING["configs"]) - set(_TRACKING["handlers_id"])
# Entries whose content is arguments, checked by building with them.
_ARGUMENTS = ("network", "method", "augmentation", "synthetic")


def check_keys(config: Mapping[str, Any], belongs: Callable[[str], bool]) -> None:
    """Check that every key of a configuration is one of the bundle's files.

    Args:
        config: the running configuration.
        belongs: which of the files, by name.

    Raises:
        ConfigError: for one that is not.
    """
    known: dict[str, Any] = {}
    for file in sorted(Path(bundle_root(), "configs").glob("*.json")):
        if file.name != "metadata.json" and belongs(file.name):
            for name, value in json.loads(file.read_text("utf-8")).items():
                merge_keys(known, name.replace("::", "#").split("#"), value)
    compare_keys(config, known)


def merge_keys(known: dict[str, Any], path: list[str], value: Any) -> None:
    """Add an entry of a configuration file, by its path, to what is known."""
    for part in path[:-1]:
        known = known.setdefault(part, {})
        if not isinstance(known, dict):
            return
    last = path[-1]
    if isinstance(value, dict) and isinstance(known.get(last), dict):
        for name, inner in value.items():
            merge_keys(known[last], [name], inner)
    elif not isinstance(known.get(last), dict):
        known[last] = value


def compare_keys(config: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> None:
    """Check that all keys are known.

    Raises:
        ConfigError: for one that is not.
    """
    for name, value in config.items():
        if not prefix and name in _RESERVED:
            continue
        if name not in known:
            raise unknown_option(name, known, prefix)
        # A component replaced by another one has arguments of its own.
        same = isinstance(value, dict) and isinstance(known[name], dict)
        if same and name not in _ARGUMENTS and value.get("_target_") == known[name].get("_target_"):
            compare_keys(value, known[name], f"{prefix}{name}#")
