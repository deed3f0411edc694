"""Building blocks of φ-networks."""

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage
from monai_hyperscale.networks.blocks.pyramids import FeaturePyramid, PyramidPooling

__all__ = ["ConvolutionStage", "FeaturePyramid", "PyramidPooling"]
