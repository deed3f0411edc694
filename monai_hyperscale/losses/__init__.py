"""Losses of registration: similarity of images, smoothness of fields, and their sum."""

from monai_hyperscale.losses.registration import RegistrationLoss
from monai_hyperscale.losses.similarity import SIMILARITIES, LocalNCC, MutualInformation, build_similarity
from monai_hyperscale.losses.smoothness import (
    SMOOTHNESS,
    BendingEnergy,
    SquaredGradient,
    TotalVariation,
    build_smoothness,
)

__all__ = [
    "SIMILARITIES",
    "SMOOTHNESS",
    "BendingEnergy",
    "LocalNCC",
    "MutualInformation",
    "RegistrationLoss",
    "SquaredGradient",
    "TotalVariation",
    "build_similarity",
    "build_smoothness",
]
