"""Checks of the options that only a registration's training has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_hyperscale.errors import ConfigError, DatasetError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.tasks.registration.pair_transforms import pair_augmentation
from monai_hyperscale.tasks.registration.registrar import STARTS
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from monai_hyperscale.training.config_values import (
    check_number,
    check_pair,
    check_sizes,
    check_whole,
    given,
)

__all__ = ["check_registration_inference", "registration_settings"]


def registration_settings(config: Mapping[str, Any], **shared: Any) -> RegistrationSettings:
    """Check the options of registration alone; return the settings of a network like the one to train.

    Args:
        config: the running configuration.
        shared: arguments of :class:`RegistrationSettings` that were checked before.

    Raises:
        ConfigError: for a value that makes no training.
        DatasetError: for a list or an atlas that is not there.
    """
    spatial_dims = shared["spatial_dims"]
    check_sizes("spacing", config.get("spacing"), 3)
    sizes = config.get("sizes")
    volumes = spatial_dims == 2 and isinstance(sizes, (list, tuple)) and len(sizes) == 3  # seen slice by slice
    check_sizes("sizes", sizes, 3 if volumes else spatial_dims, one_for_all=True)
    for name, least in (("head_features", 1), ("integration_steps", 0), ("passes", 1), ("window", 1)):
        check_whole(name, config.get(name), least)
    check_number("field_scale", config.get("field_scale"), 0, 1)
    for name in ("smoothness_weight", "dice_weight"):
        check_number(name, config.get(name), 0, 1e6, above=False)
    regularization = config.get("regularization")
    if regularization is not None:
        _check_weights("regularization", regularization)
        check_pair("regularization", regularization)
    if config.get("val_regularization") is not None:
        if regularization is None:
            raise ConfigError("val_regularization needs a range to train for; give --regularization [0,1] too.")
        _check_weights("val_regularization", config["val_regularization"])
    _check_files(config)
    try:
        RegistrationLoss(
            config["similarity"],
            config["smoothness"],
            config["smoothness_weight"],
            config["dice_weight"],
            config["window"],
        )
        pair_augmentation(spatial_dims, **config["augmentation"])
        inspect.signature(write_synthetic_pairs).bind("folder", spatial_dims, **config["synthetic"])
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"augmentation or synthetic: {str(error).rstrip('.')}.") from None
    return RegistrationSettings(
        head_features=config["head_features"],
        integration_steps=config["integration_steps"],
        field_scale=config["field_scale"],
        passes=config["passes"],
        regularization=None if regularization is None else tuple(regularization),
        **shared,
    )


def check_registration_inference(config: Mapping[str, Any], network: HyperNetwork) -> None:
    """Check the options of inference that only registration has.

    Args:
        config: the running configuration.
        network: the trained one.

    Raises:
        ConfigError: for a value that cannot work.
        DatasetError: for a list or an atlas that is not there.
    """
    if config.get("regularization") is not None:
        if "regularization" not in network.context:
            raise ConfigError("the network was trained for one weight of the regularisation; leave it out.")
        _check_weights("regularization", config["regularization"])
    if config.get("start") not in STARTS:
        raise ConfigError(f"start must be one of {', '.join(STARTS)}, got {config.get('start')!r}.")
    check_whole("instance_steps", config.get("instance_steps"), least=0)
    _check_files(config)


def _check_weights(name: str, value: Any) -> None:
    for weight in value if isinstance(value, (list, tuple)) else [value]:
        check_number(name, weight, 0, 1, above=False)


def _check_files(config: Mapping[str, Any]) -> None:
    pairs, atlas, label = (config.get(name) for name in ("pairs", "atlas", "atlas_label"))
    if config.get("dataset_dir") is None and (pairs is not None or atlas is not None):
        raise ConfigError("pairs and atlas are of a data set; name its folder with --dataset_dir.")
    if pairs is not None and atlas is not None:
        raise ConfigError("a list of pairs names the fixed images, so an atlas cannot be given too; leave one out.")
    for name, path in (("pairs", pairs), ("atlas_label", label)):
        if path is not None and given(path) and not Path(str(path)).is_file():
            raise DatasetError(f"{name} must be a file, got {str(path)!r}.")
