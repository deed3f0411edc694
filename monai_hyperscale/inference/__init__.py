"""From a trained network and an image to a label map: inferers, the segmenter, volumes and preview pictures."""

from monai_hyperscale.inference.devices import choose_device
from monai_hyperscale.inference.inferers import PhiInferer, PhiWholeImageInferer
from monai_hyperscale.inference.preview import save_preview
from monai_hyperscale.inference.segmenter import Segmenter
from monai_hyperscale.inference.volumes import LabelVolume, label_volumes

__all__ = [
    "LabelVolume",
    "PhiInferer",
    "PhiWholeImageInferer",
    "Segmenter",
    "choose_device",
    "label_volumes",
    "save_preview",
]
