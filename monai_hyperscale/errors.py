"""Errors that a user can act on: what was expected, what came, and the way out."""

from __future__ import annotations

__all__ = ["CheckpointError", "DatasetError", "GeneratedWeightError", "ImageError", "PhiError"]


class PhiError(ValueError):
    """A rescaling factor φ that is not a number in [0, 1], or the wrong number of factors."""


class DatasetError(ValueError):
    """A data-set folder or list that cannot be used as it is."""


class ImageError(ValueError):
    """An image file that cannot be read, or whose content does not fit the network."""


class CheckpointError(ValueError):
    """A weights or checkpoint file that is missing, damaged or of another network."""


class GeneratedWeightError(RuntimeError):
    """A generated weight was read outside a forward pass, where it has no value."""
