"""Building blocks of φ-networks."""

from monai_hyperscale.networks.blocks.convolutions import ConvolutionStage

__all__ = ["ConvolutionStage"]
