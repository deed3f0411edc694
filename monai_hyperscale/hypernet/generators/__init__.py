"""Weight generators h: from a context to the weights of a primary network (SSHN sections 3, 4.3 and A.1; SAN).

One interface, :class:`WeightGenerator`; one fused matrix of heads where there are heads; one form, θ = θ₀ + change.
"""

from monai_hyperscale.hypernet.generators.base import HeadsGenerator, WeightGenerator
from monai_hyperscale.hypernet.generators.build import GENERATORS, build_generator
from monai_hyperscale.hypernet.generators.constant import ConstantGenerator
from monai_hyperscale.hypernet.generators.film import FiLMGenerator
from monai_hyperscale.hypernet.generators.linear import LinearGenerator
from monai_hyperscale.hypernet.generators.mlp import INITS, MLPGenerator
from monai_hyperscale.hypernet.generators.spline import SplineGenerator

__all__ = [
    "GENERATORS",
    "INITS",
    "ConstantGenerator",
    "FiLMGenerator",
    "HeadsGenerator",
    "LinearGenerator",
    "MLPGenerator",
    "SplineGenerator",
    "WeightGenerator",
    "build_generator",
]
