"""Building blocks of φ-networks."""

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage
from monai_hyperscale.networks.blocks.feature_pyramid import FeaturePyramid
from monai_hyperscale.networks.blocks.pyramid_pooling import PyramidPooling

__all__ = ["ConvolutionStage", "FeaturePyramid", "PyramidPooling"]
