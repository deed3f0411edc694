"""φ-networks: ordinary networks whose internal resizing goes by a continuous factor."""

from monai_hyperscale.networks.nets import ScaleSpaceNetwork, ScaleSpaceUNet

__all__ = ["ScaleSpaceNetwork", "ScaleSpaceUNet"]
