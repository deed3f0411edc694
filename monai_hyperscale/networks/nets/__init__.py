"""φ-networks, one architecture a file."""

from monai_hyperscale.networks.nets.fpn import ScaleSpaceFPN
from monai_hyperscale.networks.nets.pspnet import ScaleSpacePSPNet
from monai_hyperscale.networks.nets.residual_unet import ScaleSpaceResidualUNet
from monai_hyperscale.networks.nets.scale_space import RescaledInput, ScaleSpaceNetwork
from monai_hyperscale.networks.nets.se_unet import ScaleSpaceSEUNet
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = [
    "RescaledInput",
    "ScaleSpaceFPN",
    "ScaleSpaceNetwork",
    "ScaleSpacePSPNet",
    "ScaleSpaceResidualUNet",
    "ScaleSpaceSEUNet",
    "ScaleSpaceUNet",
]
