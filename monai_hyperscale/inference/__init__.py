"""From a trained network and images to label maps and displacement fields: segmenter, registrar, pictures."""

from monai_hyperscale.inference.devices import choose_device
from monai_hyperscale.inference.inferers import PhiInferer, PhiPartsInferer, PhiWholeImageInferer
from monai_hyperscale.inference.instance_optimization import Refinement, optimize_instance
from monai_hyperscale.inference.overlap import label_dice
from monai_hyperscale.inference.preview import save_preview
from monai_hyperscale.inference.registrar import Registrar, Registration
from monai_hyperscale.inference.registration_preview import save_registration_preview
from monai_hyperscale.inference.resampling import move_field, resample, working_grid
from monai_hyperscale.inference.segmenter import Segmenter
from monai_hyperscale.inference.volumes import LabelVolume, label_volumes

__all__ = [
    "LabelVolume",
    "PhiInferer",
    "PhiPartsInferer",
    "PhiWholeImageInferer",
    "Refinement",
    "Registrar",
    "Registration",
    "Segmenter",
    "choose_device",
    "label_dice",
    "label_volumes",
    "move_field",
    "optimize_instance",
    "resample",
    "save_preview",
    "save_registration_preview",
    "working_grid",
]
