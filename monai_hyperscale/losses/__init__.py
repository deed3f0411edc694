"""Losses of registration: similarity of images, smoothness of fields, and their sum."""

from monai_hyperscale.losses.registration import (
    SIMILARITIES,
    SMOOTHNESS,
    BendingEnergy,
    LocalNCC,
    RegistrationLoss,
    SquaredGradient,
    TotalVariation,
)

__all__ = [
    "SIMILARITIES",
    "SMOOTHNESS",
    "BendingEnergy",
    "LocalNCC",
    "RegistrationLoss",
    "SquaredGradient",
    "TotalVariation",
]
