"""Checks of a bundle's configuration before anything is built.

MONAI ignores mistyped keys, and errors from inside a configuration arrive as a chain of tracebacks. These checks run
first, take a second, and stop with one sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from monai_hyperscale.bundle.locate import bundle_root, running_config
from monai_hyperscale.bundle.methods import method_generator, method_name
from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings
from monai_hyperscale.data import augmentation, write_synthetic_dataset
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.networks import model_folder, trained_network
from monai_hyperscale.networks.layers.factor import check_factor
from monai_hyperscale.tasks import task_named
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.training.config_values import (
    ARGUMENTS,
    check_device,
    check_flag,
    check_folder,
    check_keys,
    check_number,
    check_output,
    check_pair,
    check_phi,
    check_phis,
    check_precision,
    check_sizes,
    check_split,
    check_whole,
    given,
    takes_one_factor,
)
from monai_hyperscale.training.one_sentence import ends_with_one_sentence

__all__ = ["check_evaluation", "check_inference", "check_training"]

_WHOLE = ("max_epochs", "batch_size", "val_interval")
_NUMBERS = {"learning_rate": (0.0, 10.0), "ema_momentum": (0.0, 0.999), "phi_exponent": (0.0, 100.0)}


@ends_with_one_sentence
def check_training(task: str = "segmentation") -> None:
    """Check the running training configuration; end the program with one sentence if it cannot work.

    Args:
        task: of the bundle, ``segmentation`` or ``registration``.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a wrong folder, a device that is not there, or a value
            that makes no training.
    """
    config = running_config()
    check_keys(config, lambda name: name != "inference.json")
    check_device(config.get("device"))
    check_pair("phi_range", config.get("phi_range"))
    check_phis("phi_range", config.get("phi_range"))
    for name in _WHOLE:
        check_whole(name, config.get(name), least=1)
    if config.get("iterations_per_epoch") is not None:
        check_whole("iterations_per_epoch", config.get("iterations_per_epoch"), least=1)
    if "phis_per_step" in config:
        _check_parts(config.get("phis_per_step"), config.get("batch_size"))
    for name in ("seed", "num_workers"):
        check_whole(name, config.get(name), least=0)
    for name, (low, high) in _NUMBERS.items():
        check_number(name, config.get(name), low, high)
    check_number("weight_penalty", config.get("weight_penalty"), 0, 10, above=False)
    for name in ("resume", "per_level", "rescale_input"):
        check_flag(name, config.get(name))
    check_split(config.get("split"))
    check_precision(config.get("precision"), config.get("device"))
    if given(config.get("keep_phi")) and config.get("keep_phi") is not None:
        _check_kept(config)
    if config.get("teacher") is not None:
        check_phis("teacher_phi", config.get("teacher_phi"))
        from monai_hyperscale.tasks.segmentation.distillation import teacher_folders

        teacher_folders(config["teacher"])  # before any image is made or read
    network = _check_arguments(config, _settings(task))
    if network is not None:
        _check_trained_phi(config.get("phi"), method_name(config["method"]), network)
        check_phis("val_phi", config.get("val_phi"), network)
    _check_start(config.get("warm_start"))
    check_folder(config.get("dataset_dir"))
    check_output(config.get("output_dir"))


@ends_with_one_sentence
def check_evaluation(task: str = "segmentation") -> None:
    """Check the running configuration of an evaluation; end the program with one sentence if it cannot work.

    Args:
        task: see :func:`check_training`.

    Raises:
        SystemExit: as for :func:`check_training`, and for a missing data set or checkpoint.
    """
    check_training(task)
    config = running_config()
    if config.get("dataset_dir") is None:
        raise DatasetError(f"an evaluation needs a data set{_NEEDED[task]}; name its folder with --dataset_dir.")
    check_phis("phi", config.get("phi"), _check_checkpoint(config.get("ckpt_dir"), task_named(task).settings))


@ends_with_one_sentence
def check_inference(task: str = "segmentation") -> None:
    """Check the running inference configuration; end the program with one sentence if it cannot work.

    Args:
        task: see :func:`check_training`.

    Raises:
        SystemExit: for an unknown key, a φ out of range, a missing or damaged checkpoint, a wrong folder, or a device
            that is not there.
    """
    config = running_config()
    check_keys(config, lambda name: name == "inference.json")
    check_device(config.get("device"))
    if config.get("phi") is None:
        raise ConfigError("phi must be a number between 0 and 1, got None.")
    if "precision" in config:
        check_precision(config["precision"], config.get("device"))
    check_folder(config.get("dataset_dir"))
    check_output(config.get("output_dir"))
    network = _check_checkpoint(config.get("ckpt_dir"), task_named(task).settings)
    if given(config.get("phi")):
        check_phi("phi", config["phi"], network)
    if task == "registration":
        from monai_hyperscale.tasks.registration.checks import check_registration_inference

        check_registration_inference(config, network)


def _check_trained_phi(value: Any, method: str, network: HyperNetwork) -> None:
    """Check the φ to train for: one factor or a list to draw from; for ``fixed`` one, or one per level."""
    if method != "fixed":
        check_phis("phi", value, network)
    elif isinstance(value, (list, tuple)) and takes_one_factor(network):
        raise ConfigError(
            f"phi: method fixed trains one network for one phi, got {value!r}; name one, or one per level with "
            "--per_level True."
        )
    elif value is not None and given(value):
        check_phi("phi", value, network)


def _check_kept(config: Mapping[str, Any]) -> None:
    try:
        check_factor(config["keep_phi"])
    except ValueError as error:
        raise ConfigError(f"keep_phi: {error}") from None
    if config.get("per_level") is True and config.get("rescale_input") is True:
        # One φ stands for min(1, 2φ) of the input, so no single number names that network among all levels.
        raise ConfigError("keep_phi goes with per_level or with rescale_input, not with both; leave one of them out.")
    if config.get("warm_start") is None:
        raise ConfigError("keep_phi keeps the network that warm_start names; name one, or leave keep_phi out.")


def _check_start(source: Any) -> None:
    if source is None or not given(source):
        return
    if not isinstance(source, (str, Path)):
        raise ConfigError(f"warm_start must be the folder of an earlier training, got {source!r}.")
    path = Path(source)
    if not path.is_file() and not (path / "model.pt").is_file() and not (model_folder(path) / "model.pt").is_file():
        raise CheckpointError(f"warm_start: there are no trained weights in {path}; name the folder of a training.")


def _check_arguments(config: Mapping[str, Any], settings: Callable[..., NetworkSettings]) -> Optional[HyperNetwork]:
    """Check what a training is made of; return its network, unless an evaluation reads that from a file."""
    spatial_dims = config.get("spatial_dims")
    if not given(spatial_dims) or not given(config.get("method")):
        return None
    if spatial_dims not in (2, 3):
        raise ConfigError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    for name in ARGUMENTS:
        if not isinstance(config.get(name), dict):
            raise ConfigError(f"{name} must be a dictionary of arguments, got {config.get(name)!r}.")
    select = config.get("select")
    if select is not None and not isinstance(select, (str, list, tuple)):
        raise ConfigError(f"select must be a text or a list of name patterns, got {select!r}.")
    keep_phi = config["keep_phi"] if given(config["keep_phi"]) else None
    return build_network(
        settings(
            config,
            spatial_dims=spatial_dims,
            channels=("x",),
            network=config["network"],
            generator=method_generator(config["method"], keep_phi),
            select=tuple(select) if isinstance(select, list) else select,
            per_level=config["per_level"],
            rescale_input=config["rescale_input"],
        )
    )


def _segmentation_settings(config: Mapping[str, Any], **shared: Any) -> SegmentationSettings:
    """Check the options of segmentation alone; return the settings of a network like the one to train."""
    spatial_dims = shared["spatial_dims"]
    check_sizes("spacing", config.get("spacing"), 3)
    check_sizes("roi_size", config.get("roi_size"), spatial_dims, one_for_all=True)
    options = {name: value for name, value in config["augmentation"].items() if name != "soft_labels"}
    try:
        augmentation(spatial_dims, (8,) * spatial_dims, **options)
        inspect.signature(write_synthetic_dataset).bind("folder", spatial_dims, **config["synthetic"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"augmentation or synthetic: {error}.") from None
    return SegmentationSettings(labels={1: "x"}, **shared)


def _settings(task: str) -> Callable[..., NetworkSettings]:
    if task == "segmentation":
        return _segmentation_settings
    from monai_hyperscale.tasks.registration.checks import registration_settings

    return registration_settings


_NEEDED = {"segmentation": " with labels", "registration": " of images to register"}


def _check_checkpoint(folder: Any, kind: type[NetworkSettings]) -> HyperNetwork:
    """Check a folder of trained weights and return their network."""
    if not isinstance(folder, str):
        raise ConfigError(f"ckpt_dir must be a folder with model.pt and model.json, got {folder!r}.")
    path = Path(folder) if given(folder) else Path(bundle_root(), "models")
    settings = read_settings(path / "model.json", kind)
    if not (path / "model.pt").is_file():
        raise CheckpointError(f"no trained weights at {path / 'model.pt'}: train the bundle, or set --ckpt_dir.")
    return trained_network(path, settings)


def _check_parts(phis: Any, batch: Any) -> None:
    check_whole("phis_per_step", phis, least=1)
    if given(phis) and given(batch) and batch % phis:
        raise ConfigError(f"phis_per_step must divide the batch_size {batch}, got {phis}.")
