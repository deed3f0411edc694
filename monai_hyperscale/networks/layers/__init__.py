"""Layers that depend on the rescaling factor φ."""

from monai_hyperscale.networks.layers.cpu_convolutions import CPUConvolutions
from monai_hyperscale.networks.layers.factor import Phi, as_factors, check_factor, current_factor, rescaling_factor
from monai_hyperscale.networks.layers.norm import normalization, normalization_name
from monai_hyperscale.networks.layers.patches import InPatches, from_patches, to_patches
from monai_hyperscale.networks.layers.resize import VariableResize, rescaled_size, resize_like, resize_maps

__all__ = [
    "CPUConvolutions",
    "InPatches",
    "Phi",
    "VariableResize",
    "as_factors",
    "check_factor",
    "current_factor",
    "from_patches",
    "normalization",
    "normalization_name",
    "rescaled_size",
    "rescaling_factor",
    "resize_like",
    "resize_maps",
    "to_patches",
]
