"""φ-networks, one architecture a file."""

from monai_hyperscale.networks.nets.scale_space import ScaleSpaceNetwork
from monai_hyperscale.networks.nets.unet import ScaleSpaceUNet

__all__ = ["ScaleSpaceNetwork", "ScaleSpaceUNet"]
