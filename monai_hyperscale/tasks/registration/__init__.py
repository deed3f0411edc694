"""Registration: pairs of images, the registrar, what is measured and shown of it."""

import lazy_loader

# Loaded when first named, so that the command line can ask for this task's commands without torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "bundle_inference": ["ReadPair", "RegisterPair", "pairs_to_register"],
        "check_pairs": ["check_pairs"],
        "instance_optimization": ["Refinement", "optimize_instance"],
        "measures": ["PairMeasures", "PhiRegistration"],
        "pair_dataset": ["PairDataset"],
        "pair_files": ["read_pairs"],
        "pair_transforms": [
            "PairSlice",
            "UnitIntensity",
            "UnitIntensityd",
            "common_size",
            "pair_augmentation",
            "registration_preprocessing",
        ],
        "pairs": ["Pair", "PairList", "RegistrationImages", "split_pairs"],
        "preview": ["save_registration_preview"],
        "registrar": ["Registrar", "Registration"],
        "settings": ["RegistrationSettings"],
        "steps": ["PreparePair", "RegularizationWeight", "field_and_target"],
        "synthetic_pairs": ["synthetic_pair", "write_synthetic_pairs"],
        "training_data": ["RegistrationData", "cached_pairs", "evaluation_pairs", "load_registration_data"],
        "workload": ["RegistrationWorkload"],
    },
)
