"""Checks of single options of a bundle's configuration: each raises one sentence."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, cast

import torch
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from monai_hyperscale.bundle.locate import bundle_root
from monai_hyperscale.errors import ConfigError, DatasetError, PhiError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import PRECISIONS
from monai_hyperscale.networks.layers.factor import check_factor

__all__ = [
    "check_device",
    "check_flag",
    "check_folder",
    "check_keys",
    "check_number",
    "check_output",
    "check_pair",
    "check_phi",
    "check_phis",
    "check_precision",
    "check_sizes",
    "check_split",
    "check_whole",
    "given",
    "takes_one_factor",
]

# What `monai.bundle run` and its relatives take themselves, and may leave in the configuration.
_RESERVED = {"_meta_", "run_id", "init_id", "final_id", "args_file", "workflow_name", "workflow_type"}
_TRACKING = cast(dict[str, dict[str, Any]], DEFAULT_MLFLOW_SETTINGS)
_RESERVED |= set(_TRACKING["configs"]) - set(_TRACKING["handlers_id"])
# Entries whose content is arguments, checked by building with them.
ARGUMENTS = ("network", "augmentation", "synthetic")


def given(value: Any) -> bool:
    """Return whether a value was written down, rather than left to an expression of the configuration."""
    return not (isinstance(value, str) and value.startswith(("$", "@")))


def check_keys(config: Mapping[str, Any], belongs: Any) -> None:
    """Check that every key of a configuration is one of the bundle's files, those that ``belongs`` picks by name."""
    known: dict[str, Any] = {}
    for file in sorted(Path(bundle_root(), "configs").glob("*.json")):
        if file.name != "metadata.json" and belongs(file.name):
            for name, value in json.loads(file.read_text("utf-8")).items():
                _merge(known, name.replace("::", "#").split("#"), value)
    _compare(config, known, prefix="")


def _merge(known: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        known = known.setdefault(part, {})
        if not isinstance(known, dict):
            return
    last = path[-1]
    if isinstance(value, dict) and isinstance(known.get(last), dict):
        for name, inner in value.items():
            _merge(known[last], [name], inner)
    elif not isinstance(known.get(last), dict):
        known[last] = value


def _compare(config: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> None:
    for name, value in config.items():
        if not prefix and name in _RESERVED:
            continue
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1)
            hint = f"did you mean --{prefix}{near[0]}?" if near else "the bundle's docs/README.md lists the options."
            raise ConfigError(f"unknown option --{prefix}{name}; {hint}")
        # A component replaced by another one has arguments of its own.
        same = isinstance(value, dict) and isinstance(known[name], dict)
        if same and name not in (*ARGUMENTS, "method") and value.get("_target_") == known[name].get("_target_"):
            _compare(value, known[name], f"{prefix}{name}#")


def check_phis(name: str, value: Any, network: Optional[HyperNetwork] = None) -> None:
    """Check one φ or a list of them; each may be one factor per level if the network takes as many."""
    if value is None or not given(value):
        return
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ConfigError(f"{name} must name at least one factor, got an empty list.")
    for item in values:
        check_phi(name, item, network)


def check_phi(name: str, value: Any, network: Optional[HyperNetwork]) -> None:
    """Check one φ, a factor or one per level."""
    try:
        if network is None or not isinstance(value, (list, tuple)):
            check_factor(value)
            return
        if takes_one_factor(network) and len(value) > 1:
            raise PhiError(
                f"the network was built for one phi for all levels, got {len(value)} factors; give one, or train "
                "with --per_level True."
            )
        network.context["phi"].values(value)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def takes_one_factor(network: HyperNetwork) -> bool:
    """Return whether a network was built for one φ for all of its levels."""
    return network.context["phi"].count == 1


def check_pair(name: str, value: Any) -> None:
    """Check [least, greatest]."""
    if not given(value):
        return
    numbers = isinstance(value, (list, tuple)) and len(value) == 2
    if not numbers or not all(isinstance(item, (int, float)) for item in value) or value[0] > value[1]:
        raise ConfigError(f"{name} must be [least, greatest], got {value!r}.")


def check_whole(name: str, value: Any, least: int) -> None:
    """Check a whole number."""
    if given(value) and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def check_split(value: Any) -> None:
    """Check the shares of training, validation and test cases."""
    if not given(value):
        return
    shares = value if isinstance(value, (list, tuple)) else []
    if len(shares) != 3 or not all(isinstance(share, (int, float)) and share > 0 for share in shares):
        raise ConfigError(f"split must be three shares above 0, of training, validation and test cases; got {value!r}.")


def check_device(device: Any) -> None:
    """Check that a device is on this machine."""
    if not given(device):
        return
    try:
        kind = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device must be one such as cpu, cuda or cuda:0, got {device!r}.") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {device} is not on this machine, which has {torch.cuda.device_count()}; use cpu.")


def check_precision(precision: Any, device: Any) -> None:
    """Check that a device has a precision."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    on_cuda = str(device).startswith("cuda") or (not given(device) and torch.cuda.is_available())
    if precision == "fp16" and not on_cuda:
        raise ConfigError("precision fp16 needs a CUDA device; use bf16 or fp32.")
    if precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
        raise ConfigError("this CUDA device has no bf16; use fp16 or fp32.")


def check_folder(folder: Any) -> None:
    """Check the folder of a data set, or none."""
    if folder is None or not given(folder):
        return
    if not isinstance(folder, str) or not Path(folder).is_dir():
        raise DatasetError(f"dataset_dir must be an existing folder, got {str(folder)!r}.")


def check_output(folder: Optional[Any]) -> None:
    """Check that outputs can go to a folder."""
    if not given(folder):
        return
    if not isinstance(folder, str):
        raise ConfigError(f"output_dir must be a folder, got {folder!r}.")
    path = Path(folder).absolute()
    below_file = next((parent for parent in (path, *path.parents) if parent.exists() and not parent.is_dir()), None)
    if below_file is not None:
        raise ConfigError(f"output_dir must be a folder, but {below_file} is a file.")
    if (path / "configs" / "train.json").exists():
        raise ConfigError(f"output_dir {folder} is a bundle, whose trained weights would be replaced; name another.")


def check_number(name: str, value: Any, low: float, high: float, above: bool = True) -> None:
    """Check a number above ``low``, or from it, and up to ``high``."""
    if not given(value):
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not (low < value if above else low <= value) or not value <= high:
        least = f"above {low:g} and up to" if above else f"from {low:g} to"
        raise ConfigError(f"{name} must be a number {least} {high:g}, got {value!r}.")


def check_flag(name: str, value: Any) -> None:
    """Check a truth value."""
    if given(value) and value not in (True, False):
        raise ConfigError(f"{name} must be True or False, got {value!r}.")


def check_sizes(name: str, value: Any, count: int, one_for_all: bool = False) -> None:
    """Check so many numbers above 0, one per axis, or ``None``; one stands for all where that is said."""
    if value is None or not given(value):
        return
    sizes = [value] if isinstance(value, (int, float)) and one_for_all else value
    numbers = isinstance(sizes, (list, tuple)) and all(isinstance(n, (int, float)) and n > 0 for n in sizes)
    if not numbers or len(sizes) not in {count, 1 if one_for_all else count}:
        raise ConfigError(f"{name} must be {count} numbers above 0, got {value!r}.")
