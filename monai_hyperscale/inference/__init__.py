"""From a trained network and images to label maps and displacement fields: segmenter, registrar, pictures."""

from monai_hyperscale.inference.devices import choose_device
from monai_hyperscale.inference.inferers import PhiInferer, PhiPartsInferer, PhiWholeImageInferer
from monai_hyperscale.inference.resampling import move_field, resample, working_grid

__all__ = [
    "PhiInferer",
    "PhiPartsInferer",
    "PhiWholeImageInferer",
    "choose_device",
    "move_field",
    "resample",
    "working_grid",
]
