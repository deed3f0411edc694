"""Weight generators and the hypernetworks built from them. Knows no network of this project."""

from monai_hyperscale.hypernet.encoding import ComplementEncoding, IdentityEncoding
from monai_hyperscale.hypernet.generators import (
    GENERATORS,
    ConstantGenerator,
    FiLMGenerator,
    HeadsGenerator,
    LinearGenerator,
    MLPGenerator,
    SplineGenerator,
    WeightGenerator,
    build_generator,
)
from monai_hyperscale.hypernet.hypernetwork import HyperNetwork
from monai_hyperscale.hypernet.penalty import GeneratedWeightPenalty
from monai_hyperscale.hypernet.selection import select_parameters

__all__ = [
    "GENERATORS",
    "ComplementEncoding",
    "ConstantGenerator",
    "FiLMGenerator",
    "GeneratedWeightPenalty",
    "HeadsGenerator",
    "HyperNetwork",
    "IdentityEncoding",
    "LinearGenerator",
    "MLPGenerator",
    "SplineGenerator",
    "WeightGenerator",
    "build_generator",
    "select_parameters",
]
