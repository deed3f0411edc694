"""φ-networks."""

from monai_hyperscale.networks.nets.fpn import ScaleSpaceFPN
from monai_hyperscale.networks.nets.scale_space import RescaledInput, ScaleSpaceNetwork
from monai_hyperscale.networks.nets.unet import (
    ScaleSpacePSPNet,
    ScaleSpaceResidualUNet,
    ScaleSpaceSEUNet,
    ScaleSpaceUNet,
)

__all__ = [
    "RescaledInput",
    "ScaleSpaceFPN",
    "ScaleSpaceNetwork",
    "ScaleSpacePSPNet",
    "ScaleSpaceResidualUNet",
    "ScaleSpaceSEUNet",
    "ScaleSpaceUNet",
]
