"""What the bundles' training configs name: φ priors, losses, handlers and reports."""

from monai_hyperscale.training.checkpoints import (
    RunCheckpoint,
    best_weights,
    shipped_start,
    starting_network,
    warm_start,
)
from monai_hyperscale.training.config_checks import check_evaluation, check_inference, check_training
from monai_hyperscale.training.distillation import SoftenedLabels, softened_labels
from monai_hyperscale.training.losses import CrossEntropyThenDice
from monai_hyperscale.training.one_sentence import ends_with_one_sentence
from monai_hyperscale.training.priors import (
    AroundPhi,
    ChoicePhi,
    FixedPhi,
    PhiPrior,
    RegularizedPhi,
    UniformPhi,
    phi_prior,
    validation_phis,
)
from monai_hyperscale.training.registration_data import (
    RegistrationData,
    cached_pairs,
    evaluation_pairs,
    load_registration_data,
)
from monai_hyperscale.training.registration_inference import ReadPair, RegisterPair, pairs_to_register
from monai_hyperscale.training.registration_measures import PairMeasures, PhiRegistration
from monai_hyperscale.training.registration_report import registration_report
from monai_hyperscale.training.registration_steps import (
    PairInferer,
    PreparePair,
    RegularizationWeight,
    field_and_target,
)
from monai_hyperscale.training.report import dice_report
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
from monai_hyperscale.training.stages import SecondStage, StagedPhi, Stages, parameter_groups, training_stages
from monai_hyperscale.training.training_data import (
    TrainingData,
    cached_dataset,
    images_to_segment,
    load_training_data,
    require_images,
)
from monai_hyperscale.training.validation import PhiValidation, Plateau, evaluate_phis

__all__ = [
    "AroundPhi",
    "ChoicePhi",
    "CosineSchedule",
    "CrossEntropyThenDice",
    "EpochSeed",
    "FixedPhi",
    "GradientClipping",
    "LossSchedule",
    "PairInferer",
    "PairMeasures",
    "PhiPrior",
    "PhiRegistration",
    "PhiSampler",
    "PhiValidation",
    "Plateau",
    "PreparePair",
    "ReadPair",
    "RegisterPair",
    "RegistrationData",
    "RegularizationWeight",
    "RegularizedPhi",
    "RunCheckpoint",
    "SecondStage",
    "SoftenedLabels",
    "StagedPhi",
    "Stages",
    "StopOnDivergence",
    "TrainingData",
    "UniformPhi",
    "as_handler",
    "best_weights",
    "cached_dataset",
    "cached_pairs",
    "check_evaluation",
    "check_inference",
    "check_training",
    "dice_report",
    "ends_with_one_sentence",
    "evaluate_phis",
    "evaluation_pairs",
    "field_and_target",
    "images_to_segment",
    "load_registration_data",
    "load_training_data",
    "pairs_to_register",
    "parameter_groups",
    "phi_prior",
    "registration_report",
    "require_images",
    "shipped_start",
    "softened_labels",
    "starting_network",
    "training_inferer",
    "training_stages",
    "validation_phis",
    "warm_start",
]
