"""Checks of a bundle's configuration before anything is built.

MONAI ignores mistyped keys, and errors from inside a configuration arrive as a chain of tracebacks. These checks run
first, take a second, and stop with one sentence.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Optional

import torch

from monai_hyperscale.bundle.locate import bundle_root, running_config
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.errors import CheckpointError, DatasetError
from monai_hyperscale.inference.inferers import PRECISIONS
from monai_hyperscale.io.weights import load_weights
from monai_hyperscale.networks.layers.factor import check_factor

__all__ = ["check_evaluation", "check_inference", "check_training", "ends_with_one_sentence"]

# What `monai.bundle run` and its relatives take themselves, and may leave in the configuration.
_RESERVED = {"_meta_", "run_id", "init_id", "final_id", "args_file", "workflow_name", "workflow_type"}


def ends_with_one_sentence(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``function`` end the program with one sentence where it raises ``ValueError``.

    For what a bundle's configuration calls: MONAI wraps every ``Exception`` raised in a configuration into a
    traceback of its own, and only ``SystemExit`` passes.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from None

    return run


@ends_with_one_sentence
def check_training() -> None:
    """Check the running training configuration; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a wrong folder, a device that is not there, or a number
            that makes no training.
    """
    config = running_config()
    _check_keys(config)
    _check_device(config.get("device"))
    for name in ("phi", "val_phi", "phi_range"):
        _check_phis(name, config.get(name))
    low, high = config.get("phi_range", (0, 1))
    if low > high:
        raise ValueError(f"phi_range must be [least, greatest], got {[low, high]}.")
    for name in ("max_epochs", "batch_size", "val_interval", "iterations_per_epoch"):
        value = config.get(name)
        if name == "iterations_per_epoch" and value is None:
            continue
        if not isinstance(value, str) and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if config.get("resume") not in (True, False):
        raise ValueError(f"resume must be True or False, got {config.get('resume')!r}.")
    _check_precision(config.get("precision"), config.get("device"))
    _check_folder(config.get("dataset_dir"))
    _check_writable(config.get("output_dir"))


@ends_with_one_sentence
def check_evaluation() -> None:
    """Check the running configuration of an evaluation; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: as for :func:`check_training`, and for a missing or damaged checkpoint.
    """
    check_training()
    _check_checkpoint(running_config().get("ckpt_dir"))


@ends_with_one_sentence
def check_inference() -> None:
    """Check the running inference or evaluation configuration; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a missing or damaged checkpoint, a wrong folder, or a device
            that is not there.
    """
    config = running_config()
    _check_keys(config)
    _check_device(config.get("device"))
    _check_phis("phi", config.get("phi"))
    _check_writable(config.get("output_dir"))
    _check_folder(config.get("dataset_dir"))
    _check_checkpoint(config.get("ckpt_dir"))


def _check_checkpoint(folder: Any) -> None:
    if not isinstance(folder, str):
        raise ValueError(f"ckpt_dir must be a folder with model.pt and model.json, got {folder!r}.")
    path = Path(bundle_root(), "models") if folder.startswith("$") else Path(folder)
    read_settings(path / "model.json")
    if not (path / "model.pt").is_file():
        raise CheckpointError(f"no trained weights at {path / 'model.pt'}: train the bundle, or set --ckpt_dir.")
    load_weights(path / "model.pt")


def _check_keys(config: dict[str, Any]) -> None:
    known = set(_RESERVED)
    for file in sorted(Path(bundle_root(), "configs").glob("*.json")):
        if file.name != "metadata.json":
            known |= {name.replace("::", "#").split("#")[0] for name in json.loads(file.read_text("utf-8"))}
    for name in config:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{near[0]}?" if near else "the bundle's docs/README.md lists the options."
            raise ValueError(f"unknown option --{name}; {hint}")


def _check_phis(name: str, value: Any) -> None:
    values = value if isinstance(value, (list, tuple)) else [value]
    if value is None or (isinstance(value, str) and value.startswith(("$", "@"))):
        return
    if not values:
        raise ValueError(f"{name} must name at least one factor, got an empty list.")
    for item in values:
        try:
            check_factor(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _check_device(device: Any) -> None:
    if not isinstance(device, str) or device.startswith("$"):
        return
    try:
        kind = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device must be one such as cpu, cuda or cuda:0, got {device!r}.") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device} is not on this machine, which has {torch.cuda.device_count()}; use cpu.")


def _check_precision(precision: Any, device: Any) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    on_cuda = str(device).startswith("cuda") or (str(device).startswith("$") and torch.cuda.is_available())
    if precision == "fp16" and not on_cuda:
        raise ValueError("precision fp16 needs a CUDA device; use bf16 or fp32.")
    if precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
        raise ValueError("this CUDA device has no bf16; use fp16 or fp32.")


def _check_folder(folder: Any) -> None:
    if folder is None or (isinstance(folder, str) and folder.startswith("$")):
        return
    if not isinstance(folder, str) or not Path(folder).is_dir():
        raise DatasetError(f"dataset_dir must be an existing folder, got {str(folder)!r}.")


def _check_writable(folder: Optional[Any]) -> None:
    if not isinstance(folder, str) or folder.startswith("$"):
        return
    if Path(folder).exists() and not Path(folder).is_dir():
        raise ValueError(f"output_dir must be a folder, but {folder!r} is a file.")
