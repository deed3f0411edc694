"""What the bundles' training configs name: φ priors, losses, handlers and reports."""

from monai_hyperscale.training.checkpoints import RunCheckpoint, best_weights, fresh_folder
from monai_hyperscale.training.config_checks import (
    check_evaluation,
    check_inference,
    check_training,
    ends_with_one_sentence,
)
from monai_hyperscale.training.losses import CrossEntropyThenDice
from monai_hyperscale.training.priors import AroundPhi, ChoicePhi, FixedPhi, PhiPrior, UniformPhi, phi_prior
from monai_hyperscale.training.report import dice_report
from monai_hyperscale.training.schedules import EpochSeed, GradientClipping, LossSchedule, PhiSampler, as_handler
from monai_hyperscale.training.training_data import TrainingData, images_to_segment, load_training_data, require_images
from monai_hyperscale.training.validation import PhiValidation, Plateau, evaluate_phis

__all__ = [
    "AroundPhi",
    "ChoicePhi",
    "CrossEntropyThenDice",
    "EpochSeed",
    "FixedPhi",
    "GradientClipping",
    "LossSchedule",
    "PhiPrior",
    "PhiSampler",
    "PhiValidation",
    "Plateau",
    "RunCheckpoint",
    "TrainingData",
    "UniformPhi",
    "as_handler",
    "best_weights",
    "check_evaluation",
    "check_inference",
    "check_training",
    "dice_report",
    "ends_with_one_sentence",
    "evaluate_phis",
    "fresh_folder",
    "images_to_segment",
    "load_training_data",
    "require_images",
    "phi_prior",
]
