"""Checks of a bundle's configuration before anything is built.

MONAI ignores mistyped keys, and errors from inside a configuration arrive as a chain of tracebacks. These checks run
first, take a second, and stop with one sentence.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, cast

import torch
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from monai_hyperscale.bundle.locate import bundle_root, running_config
from monai_hyperscale.bundle.methods import METHODS, method_generator
from monai_hyperscale.bundle.settings import ModelSettings, build_network, read_settings
from monai_hyperscale.data import augmentation, write_synthetic_dataset
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError, PhiError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.inferers import PRECISIONS
from monai_hyperscale.io.weights import load_weights
from monai_hyperscale.networks.layers.factor import as_factors, check_factor
from monai_hyperscale.training.one_sentence import ends_with_one_sentence

__all__ = ["check_evaluation", "check_inference", "check_training"]

# What `monai.bundle run` and its relatives take themselves, and may leave in the configuration.
_RESERVED = {"_meta_", "run_id", "init_id", "final_id", "args_file", "workflow_name", "workflow_type"}
_TRACKING = cast(dict[str, dict[str, Any]], DEFAULT_MLFLOW_SETTINGS)
_RESERVED |= set(_TRACKING["configs"]) - set(_TRACKING["handlers_id"])
# Entries whose content is arguments, checked by building with them.
_ARGUMENTS = ("network", "generator", "film", "augmentation", "synthetic")
_WHOLE = ("max_epochs", "batch_size", "val_interval")
_NUMBERS = {"learning_rate": (0.0, 10.0), "ema_momentum": (0.0, 0.999), "phi_exponent": (0.0, 100.0)}


@ends_with_one_sentence
def check_training() -> None:
    """Check the running training configuration; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a wrong folder, a device that is not there, or a value
            that makes no training.
    """
    config = running_config()
    _check_keys(config, lambda name: name != "inference.json")
    _check_device(config.get("device"))
    _check_pair("phi_range", config.get("phi_range"))
    _check_phis("phi_range", config.get("phi_range"))
    for name in _WHOLE:
        _check_whole(name, config.get(name), least=1)
    for name in ("iterations_per_epoch", "patience"):
        if config.get(name) is not None:
            _check_whole(name, config.get(name), least=1)
    for name in ("seed", "num_workers"):
        _check_whole(name, config.get(name), least=0)
    for name, (low, high) in _NUMBERS.items():
        value = config.get(name)
        if not _given(value):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
            raise ConfigError(f"{name} must be a number above {low:g} and up to {high:g}, got {value!r}.")
    value = config.get("weight_penalty")
    if _given(value) and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 10):
        raise ConfigError(f"weight_penalty must be a number from 0 to 10, got {value!r}.")
    for name in ("resume", "slices", "half_weights", "per_level", "rescale_input"):
        if _given(config.get(name)) and config.get(name) not in (True, False):
            raise ConfigError(f"{name} must be True or False, got {config.get(name)!r}.")
    _check_split(config.get("split"))
    _check_precision(config.get("precision"), config.get("device"))
    if _given(config.get("keep_phi")) and config.get("keep_phi") is not None:
        _check_kept(config)
    network = _check_arguments(config)
    if network is not None and _given(config.get("method")):
        _check_trained_phi(config.get("phi"), config["method"], network)
        _check_phis("val_phi", config.get("val_phi"), network)
    _check_folder(config.get("dataset_dir"))
    _check_output(config.get("output_dir"))


@ends_with_one_sentence
def check_evaluation() -> None:
    """Check the running configuration of an evaluation; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: as for :func:`check_training`, and for a missing data set or checkpoint.
    """
    check_training()
    config = running_config()
    if config.get("dataset_dir") is None:
        raise DatasetError("an evaluation needs a data set with labels; name its folder with --dataset_dir.")
    _check_phis("phi", config.get("phi"), _check_checkpoint(config.get("ckpt_dir")))


@ends_with_one_sentence
def check_inference() -> None:
    """Check the running inference configuration; end the program with one sentence if it cannot work.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a missing or damaged checkpoint, a wrong folder, or a device
            that is not there.
    """
    config = running_config()
    _check_keys(config, lambda name: name == "inference.json")
    _check_device(config.get("device"))
    if config.get("phi") is None:
        raise ConfigError("phi must be a number between 0 and 1, got None.")
    _check_precision(config.get("precision"), config.get("device"))
    _check_folder(config.get("dataset_dir"))
    _check_output(config.get("output_dir"))
    network = _check_checkpoint(config.get("ckpt_dir"))
    if _given(config.get("phi")):
        _check_phi("phi", config["phi"], network)


def _given(value: Any) -> bool:
    """Return whether a value was written down, rather than left to an expression of the configuration."""
    return not (isinstance(value, str) and value.startswith(("$", "@")))


def _check_keys(config: Mapping[str, Any], belongs: Any) -> None:
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
        if same and name not in _ARGUMENTS and value.get("_target_") == known[name].get("_target_"):
            _compare(value, known[name], f"{prefix}{name}#")


def _check_phis(name: str, value: Any, network: Optional[HyperNetwork] = None) -> None:
    """Check one φ or a list of them; each may be one factor per level if the network takes as many."""
    if value is None or not _given(value):
        return
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ConfigError(f"{name} must name at least one factor, got an empty list.")
    for item in values:
        _check_phi(name, item, network)


def _check_phi(name: str, value: Any, network: Optional[HyperNetwork]) -> None:
    """Check one φ, a factor or one per level."""
    try:
        if network is None or not isinstance(value, (list, tuple)):
            check_factor(value)
            return
        factors = as_factors(value)
        if network.contexts == 1 and len(factors) > 1:
            raise PhiError(
                f"the network was built for one phi for all levels, got {len(factors)} factors; give one, or train "
                "with --per_level True."
            )
        network.primary.factors(factors)  # type: ignore[operator]
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _check_trained_phi(value: Any, method: str, network: HyperNetwork) -> None:
    """Check the φ to train for: one factor or a list to draw from; for ``fixed`` one, or one per level."""
    if method != "fixed":
        _check_phis("phi", value, network)
    elif isinstance(value, (list, tuple)) and network.contexts == 1:
        raise ConfigError(
            f"phi: method fixed trains one network for one phi, got {value!r}; name one, or one per level with "
            "--per_level True."
        )
    elif value is not None and _given(value):
        _check_phi("phi", value, network)


def _check_kept(config: Mapping[str, Any]) -> None:
    try:
        check_factor(config["keep_phi"])
    except ValueError as error:
        raise ConfigError(f"keep_phi: {error}") from None
    if config.get("warm_start") is None:
        raise ConfigError("keep_phi keeps the network that warm_start names; name one, or leave keep_phi out.")
    if config.get("per_level") is True and config.get("rescale_input") is True:
        # One φ stands for min(1, 2φ) of the input, so no single number names that network among all levels.
        raise ConfigError("keep_phi goes with per_level or with rescale_input, not with both; leave one of them out.")


def _check_pair(name: str, value: Any) -> None:
    if not _given(value):
        return
    numbers = isinstance(value, (list, tuple)) and len(value) == 2
    if not numbers or not all(isinstance(item, (int, float)) for item in value) or value[0] > value[1]:
        raise ConfigError(f"{name} must be [least, greatest], got {value!r}.")


def _check_whole(name: str, value: Any, least: int) -> None:
    if _given(value) and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}.")


def _check_split(value: Any) -> None:
    if not _given(value):
        return
    shares = value if isinstance(value, (list, tuple)) else []
    if len(shares) != 3 or not all(isinstance(share, (int, float)) and share > 0 for share in shares):
        raise ConfigError(f"split must be three shares above 0, of training, validation and test cases; got {value!r}.")


def _check_arguments(config: Mapping[str, Any]) -> Optional[HyperNetwork]:
    """Check what a training is made of; return its network, unless an evaluation reads that from a file."""
    spatial_dims = config.get("spatial_dims")
    if not _given(spatial_dims) or not _given(config.get("method")):
        return None
    if spatial_dims not in (2, 3):
        raise ConfigError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if config.get("slices") and spatial_dims != 2:
        raise ConfigError("slices=True needs a 2D network: use the override file slices.json.")
    _check_pair("ct_window", config.get("ct_window"))
    for name, count in (("spacing", 3), ("roi_size", spatial_dims)):
        value = config.get(name)
        if value is None or not _given(value):
            continue
        sizes = [value] if isinstance(value, int) and name == "roi_size" else value
        numbers = isinstance(sizes, (list, tuple)) and all(isinstance(n, (int, float)) and n > 0 for n in sizes)
        if not numbers or len(sizes) not in {count, 1 if name == "roi_size" else count}:
            raise ConfigError(f"{name} must be {count} numbers above 0, got {value!r}.")
    for name in _ARGUMENTS:
        if not isinstance(config.get(name), dict):
            raise ConfigError(f"{name} must be a dictionary of arguments, got {config.get(name)!r}.")
    if config.get("method") not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, got {config.get('method')!r}.")
    select = config.get("select")
    if select is not None and not isinstance(select, (str, list, tuple)):
        raise ConfigError(f"select must be a text or a list of name patterns, got {select!r}.")
    settings = ModelSettings(
        spatial_dims,
        ("x",),
        {1: "x"},
        network=config["network"],
        generator=method_generator(config["method"], config["generator"], config["film"], config["keep_phi"]),
        select=tuple(select) if isinstance(select, list) else select,
        per_level=config["per_level"],
        rescale_input=config["rescale_input"],
    )
    network = build_network(settings)
    options = {name: value for name, value in config["augmentation"].items() if name != "soft_labels"}
    try:
        augmentation(spatial_dims, (8,) * spatial_dims, **options)
        inspect.signature(write_synthetic_dataset).bind("folder", spatial_dims, **config["synthetic"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"augmentation or synthetic: {error}.") from None
    return network


def _check_device(device: Any) -> None:
    if not _given(device):
        return
    try:
        kind = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device must be one such as cpu, cuda or cuda:0, got {device!r}.") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {device} is not on this machine, which has {torch.cuda.device_count()}; use cpu.")


def _check_precision(precision: Any, device: Any) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    on_cuda = str(device).startswith("cuda") or (not _given(device) and torch.cuda.is_available())
    if precision == "fp16" and not on_cuda:
        raise ConfigError("precision fp16 needs a CUDA device; use bf16 or fp32.")
    if precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
        raise ConfigError("this CUDA device has no bf16; use fp16 or fp32.")


def _check_folder(folder: Any) -> None:
    if folder is None or not _given(folder):
        return
    if not isinstance(folder, str) or not Path(folder).is_dir():
        raise DatasetError(f"dataset_dir must be an existing folder, got {str(folder)!r}.")


def _check_output(folder: Optional[Any]) -> None:
    if not _given(folder):
        return
    if not isinstance(folder, str):
        raise ConfigError(f"output_dir must be a folder, got {folder!r}.")
    path = Path(folder).absolute()
    below_file = next((parent for parent in (path, *path.parents) if parent.exists() and not parent.is_dir()), None)
    if below_file is not None:
        raise ConfigError(f"output_dir must be a folder, but {below_file} is a file.")
    if (path / "configs" / "train.json").exists():
        raise ConfigError(f"output_dir {folder} is a bundle, whose trained weights would be replaced; name another.")


def _check_checkpoint(folder: Any) -> HyperNetwork:
    """Check a folder of trained weights and return their network."""
    if not isinstance(folder, str):
        raise ConfigError(f"ckpt_dir must be a folder with model.pt and model.json, got {folder!r}.")
    path = Path(folder) if _given(folder) else Path(bundle_root(), "models")
    settings = read_settings(path / "model.json")
    if not (path / "model.pt").is_file():
        raise CheckpointError(f"no trained weights at {path / 'model.pt'}: train the bundle, or set --ckpt_dir.")
    weights = load_weights(path / "model.pt")
    network = build_network(settings)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError):
        raise CheckpointError(
            f"{path / 'model.pt'} is not of the network that model.json beside it describes; restore both."
        ) from None
    return network
