"""The device to compute on, from what a user asks for and what the machine has."""

from __future__ import annotations

import logging
import re

import torch

from monai_hyperscale.errors import ConfigError

__all__ = ["choose_device"]

logger = logging.getLogger(__name__)


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name, or the CPU with a warning in the log if the machine does not have it.

    Args:
        name: ``auto`` (CUDA if there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:<number>``.

    Raises:
        ConfigError: for any other name.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:<number>, got {name!r}.")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        logger.warning("device %s is not on this machine (CUDA devices: %d); using the CPU.", name, available)
        return torch.device("cpu")
    return device
