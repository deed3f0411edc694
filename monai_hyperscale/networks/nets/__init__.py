"""φ-networks."""

from monai_hyperscale.networks.nets.fpn import ScaleSpaceFPN
from monai_hyperscale.networks.nets.scale_space import RescaledInput, ScaleSpaceNetwork
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet
from monai_hyperscale.networks.nets.unet_stages import ScaleSpacePSPNet, ScaleSpaceResidualUNet, ScaleSpaceSEUNet

__all__ = [
    "RescaledInput",
    "ScaleSpaceFPN",
    "ScaleSpaceNetwork",
    "ScaleSpacePSPNet",
    "ScaleSpaceResidualUNet",
    "ScaleSpaceSEUNet",
    "ScaleSpaceUNet",
]
