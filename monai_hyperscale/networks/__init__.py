"""φ-networks: ordinary networks whose internal resizing goes by a continuous factor."""

from monai_hyperscale.networks.conversion import RescalableNetwork, rescalable
from monai_hyperscale.networks.nets import (
    ScaleSpaceFPN,
    ScaleSpaceNetwork,
    ScaleSpacePSPNet,
    ScaleSpaceResidualUNet,
    ScaleSpaceSEUNet,
    ScaleSpaceUNet,
)

__all__ = [
    "RescalableNetwork",
    "ScaleSpaceFPN",
    "ScaleSpaceNetwork",
    "ScaleSpacePSPNet",
    "ScaleSpaceResidualUNet",
    "ScaleSpaceSEUNet",
    "ScaleSpaceUNet",
    "rescalable",
]
