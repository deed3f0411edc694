"""Registration: pairs of images, the registrar, what is measured and shown of it."""

import lazy_loader

# Loaded when first named, so that the command line can ask for this task's commands without torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "instance_optimization": ["Refinement", "optimize_instance"],
        "pair_files": ["check_pairs", "read_pairs"],
        "pair_transforms": ["PairSlice", "common_size", "registration_preprocessing"],
        "pairs": ["Pair", "PairList", "RegistrationImages", "split_pairs"],
        "pictures": ["save_registration_preview"],
        "registrar": ["Registrar", "Registration"],
        "settings": ["RegistrationSettings"],
        "steps": ["PairMeasures", "PreparePair", "RegisterPair", "RegularizationWeight", "pairs_to_register"],
        "synthetic_pairs": ["synthetic_pair", "write_synthetic_pairs"],
        "training_data": ["PairDataset", "RegistrationData", "load_registration_data"],
        "workload": ["RegistrationWorkload"],
    },
)
