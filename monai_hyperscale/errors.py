"""Errors that a user can act on: what was expected, what came, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = [
    "ArgumentError",
    "CheckpointError",
    "ConfigError",
    "ConversionError",
    "DatasetError",
    "ExportError",
    "FrontierError",
    "GeneratedWeightError",
    "HyperscaleError",
    "ImageError",
    "PhiError",
    "RegistrationError",
    "TrainingError",
]

# Characters of a wrong value that a sentence shows.
_SHOWN = 90


class HyperscaleError(ValueError):
    """A mistake outside this package, told in one sentence: the base of all that follow but the last."""


class ArgumentError(HyperscaleError):
    """Arguments of a command that cannot be, told before anything is done."""


class PhiError(HyperscaleError):
    """A rescaling factor φ that is not a number in [0, 1], or the wrong number of factors."""


class ConfigError(HyperscaleError):
    """An option of a bundle that is unknown, or whose value cannot work."""


class ConversionError(HyperscaleError):
    """A network that cannot be made to go by φ: the sentence names the module and the reason."""


class DatasetError(HyperscaleError):
    """A data-set folder or list that cannot be used as it is."""


class ExportError(HyperscaleError):
    """A folded network that cannot be written in a format, or whose file computes something else."""


class FrontierError(HyperscaleError):
    """A file of measured φ that cannot be read, or a budget that it cannot answer."""


class ImageError(HyperscaleError):
    """An image file that cannot be read, or whose content does not fit the network."""


class RegistrationError(HyperscaleError):
    """Images, fields or matrices that cannot be registered, or do not fit together."""


class CheckpointError(HyperscaleError):
    """A weights or checkpoint file that is missing, damaged or of another network."""


class TrainingError(HyperscaleError):
    """A training that cannot go on."""


class GeneratedWeightError(RuntimeError, AttributeError):
    """A generated weight was read outside a forward pass; an ``AttributeError`` too, so that ``hasattr`` says no."""


def first_line(error: BaseException, otherwise: str = "") -> str:
    """Return the first line of a library's message, to stand in a sentence, else ``otherwise`` or the error's type."""
    return (str(error).strip().splitlines() or [otherwise or type(error).__name__])[0].rstrip(".")


def first_mistake(error: ValidationError) -> str:
    """Return the first mistake that pydantic found as one clause: where, what came, what was expected."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"] if part != "[key]")
    place = place.lstrip(".")
    told = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {told[:1].lower()}{told[1:]}, got {short(first['input'])}"


def short(value: Any) -> str:
    """Return a value as a sentence shows it, cut where it is long."""
    text = value if isinstance(value, str) and " " in value else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN // 2] + " … " + text[-_SHOWN // 2 :]
