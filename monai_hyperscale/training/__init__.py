"""What the bundles' training configs name: φ priors, losses, handlers and reports."""

from monai_hyperscale.training.checkpoints import (
    RunCheckpoint,
    best_weights,
    shipped_start,
    starting_network,
    warm_start,
)
from monai_hyperscale.training.config_checks import check_evaluation, check_inference, check_training
from monai_hyperscale.training.one_sentence import ends_with_one_sentence
from monai_hyperscale.training.priors import (
    AroundPhi,
    ChoicePhi,
    ContextPrior,
    FixedPhi,
    PhiPrior,
    UniformPhi,
    phi_prior,
    validation_contexts,
)
from monai_hyperscale.training.report import report_test_cases
from monai_hyperscale.training.schedules import (
    CosineSchedule,
    EpochSeed,
    GradientClipping,
    LossSchedule,
    PhiSampler,
    StopOnDivergence,
    as_handler,
    training_inferer,
)
from monai_hyperscale.training.validation import LabelDice, PhiValidation, evaluate_phis

__all__ = [
    "AroundPhi",
    "ChoicePhi",
    "CosineSchedule",
    "EpochSeed",
    "FixedPhi",
    "GradientClipping",
    "LabelDice",
    "LossSchedule",
    "PhiPrior",
    "ContextPrior",
    "PhiSampler",
    "PhiValidation",
    "RunCheckpoint",
    "StopOnDivergence",
    "UniformPhi",
    "as_handler",
    "best_weights",
    "check_evaluation",
    "check_inference",
    "check_training",
    "ends_with_one_sentence",
    "evaluate_phis",
    "phi_prior",
    "report_test_cases",
    "shipped_start",
    "starting_network",
    "training_inferer",
    "validation_contexts",
    "warm_start",
]
