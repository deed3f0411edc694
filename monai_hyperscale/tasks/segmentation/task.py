"""The task of segmentation, as the rest of the package asks for it."""

from __future__ import annotations

from monai_hyperscale.tasks.base import TRIAL, Task, lazy


class Segmentation(Task):
    """A label for every voxel of an image."""

    trial = {**TRIAL, "synthetic": {"cases": 8, "size": 20}}
    commands = {"segment": "monai_hyperscale.tasks.segmentation.segment:segment"}
    bundle_name = "sshn_seg"
    settings = lazy("settings:SegmentationSettings")
    training_options = lazy("options:SegmentationOptions")
    inference_options = lazy("options:SegmentationInferenceOptions")
    workload = lazy("workload:SegmentationWorkload")
    folding = lazy("folding:SegmentationFolding")
    cards = lazy("pictures:segmentation_cards")


TASK = Segmentation()
