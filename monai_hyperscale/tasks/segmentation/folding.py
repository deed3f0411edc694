"""What a folded segmentation network is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from monai_hyperscale.data import read_dataset
from monai_hyperscale.export.folding import ImageFolding
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.tasks.segmentation.stock import SegmentationStockBundle

__all__ = ["SegmentationFolding"]

# MONAI's writers bring every image to float32, which holds every whole number up to this one.
_LARGEST = 2**24


class SegmentationFolding(ImageFolding[SegmentationSettings]):
    """Images prepared as in training, see :class:`Folding`."""

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        """Voxels per axis of a training sample."""
        return self.settings.roi_size

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        dataset = read_dataset(dataset_dir)
        check_kind(self.settings, dataset, dataset_dir)
        title = dataset_dir.expanduser().resolve().name
        case = cases_of_part(dataset.cases, self.settings.provenance, title, "test")[0]
        return str(case["name"]), list(np.atleast_1d(case["image"]))

    def stock_bundle(self) -> Union[SegmentationStockBundle, str]:
        largest = max(self.settings.label_values or (0,))
        if largest > _LARGEST:
            return f"MONAI's SaveImage rounds label values above {_LARGEST}, and there is {largest}"
        return SegmentationStockBundle(self.settings)
