"""Segmentation: images and label maps, the segmenter, what is measured and shown of it."""

import lazy_loader

# Loaded when first named, so that the command line can ask for this task's commands without torch.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "distillation": ["SoftenedLabels", "softened_labels"],
        "loss": ["CrossEntropyThenDice"],
        "pipelines": ["evaluation_preprocessing", "inference_postprocessing", "training_transforms"],
        "pictures": ["save_preview"],
        "segmenter": ["Segmenter"],
        "settings": ["SegmentationSettings"],
        "training_data": ["TrainingData", "images_to_segment", "load_training_data", "require_images"],
        "volumes": ["label_volumes"],
        "workload": ["SegmentationWorkload"],
    },
)
