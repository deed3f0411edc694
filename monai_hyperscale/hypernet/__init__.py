"""Weight generators and the hypernetworks built from them. Knows no network of this project."""

from monai_hyperscale.hypernet.encoding import ComplementEncoding, CosineEncoding
from monai_hyperscale.hypernet.generators import MLPGenerator, WeightGenerator
from monai_hyperscale.hypernet.hypernetwork import HyperNetwork
from monai_hyperscale.hypernet.selection import select_parameters

__all__ = [
    "ComplementEncoding",
    "CosineEncoding",
    "HyperNetwork",
    "MLPGenerator",
    "WeightGenerator",
    "select_parameters",
]
