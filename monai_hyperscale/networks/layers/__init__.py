"""Layers that depend on the rescaling factor φ."""

from monai_hyperscale.networks.layers.factor import Phi, as_factors, check_factor, current_factor, rescaling_factor
from monai_hyperscale.networks.layers.norm import normalization, normalization_name
from monai_hyperscale.networks.layers.resize import VariableResize, rescaled_size, resize_like, resize_maps

__all__ = [
    "Phi",
    "VariableResize",
    "as_factors",
    "check_factor",
    "current_factor",
    "normalization",
    "normalization_name",
    "rescaled_size",
    "rescaling_factor",
    "resize_like",
    "resize_maps",
]
