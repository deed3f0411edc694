"""What the bundles' training configs name: φ priors, losses, handlers and reports."""

from monai_hyperscale.training.checkpoints import RunCheckpoint, best_weights, shipped_start, starting_network
from monai_hyperscale.training.checks import (
    check_evaluation,
    check_inference,
    check_training,
    ends_with_one_sentence,
    fingerprint,
    run_steps,
)
from monai_hyperscale.training.handlers import (
    CosineSchedule,
    EpochSeed,
    GradientClipping,
    LabelDice,
    LossSchedule,
    MeanLoss,
    PhiSampler,
    PhiValidation,
    StopOnDivergence,
    as_handler,
    evaluate_phis,
    training_inferer,
)
from monai_hyperscale.training.options import InferenceOptions, TrainingOptions, options_from
from monai_hyperscale.training.priors import ChoicePhi, FixedPhi, PhiPrior, UniformPhi, phi_prior, validation_contexts
from monai_hyperscale.training.report import report_test_cases

__all__ = [
    "ChoicePhi",
    "CosineSchedule",
    "EpochSeed",
    "FixedPhi",
    "GradientClipping",
    "InferenceOptions",
    "LabelDice",
    "LossSchedule",
    "MeanLoss",
    "PhiPrior",
    "PhiSampler",
    "PhiValidation",
    "RunCheckpoint",
    "StopOnDivergence",
    "TrainingOptions",
    "UniformPhi",
    "as_handler",
    "best_weights",
    "check_evaluation",
    "check_inference",
    "check_training",
    "ends_with_one_sentence",
    "evaluate_phis",
    "fingerprint",
    "options_from",
    "phi_prior",
    "report_test_cases",
    "run_steps",
    "shipped_start",
    "starting_network",
    "training_inferer",
    "validation_contexts",
]
