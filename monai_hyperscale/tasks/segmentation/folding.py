"""What a folded segmentation network is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged

from monai_hyperscale.data import read_dataset, segmentation_preprocessing
from monai_hyperscale.data.intensity import NormalizeChannels, channel_kind
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export.folding import Folding
from monai_hyperscale.io.images import read_image
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.tasks.segmentation.stock import SegmentationStockBundle

__all__ = ["SegmentationFolding"]

# MONAI's writers bring every image to float32, which holds every whole number up to this one.
_LARGEST = 2**24


class SegmentationFolding(Folding[SegmentationSettings]):
    """Images prepared as in training, see :class:`Folding`."""

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        """Voxels per axis of a training sample."""
        return self.settings.roi_size

    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        """Return one anatomy in every channel, see :class:`Folding`."""
        settings = self.settings
        image = torch.from_numpy(synthetic_case([seed, 0], settings.spatial_dims, list(sizes))[0])
        # Synthetic anatomy has no Hounsfield units: its values lie in [0, 1].
        channels = ["CT [0, 1]" if channel_kind(name) == "ct" else name for name in settings.channels]
        return NormalizeChannels(channels)(torch.stack([image] * settings.in_channels))

    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        """Return an image, of volumes for a network for slices the middle one, see :class:`Folding`."""
        settings, (image,) = self.settings, images
        dims = image.dim() - 1
        if len(image) != settings.in_channels or dims != settings.file_dims:
            raise ExportError(
                f"the image has {len(image)} channels and {dims} axes, but the network takes {settings.in_channels} "
                f"and {settings.file_dims}; name another."
            )
        loading = segmentation_preprocessing(
            settings.channels,
            settings.spatial_dims,
            settings.spacing,
            keys=("image",),
            slices=settings.slices,
        )
        steps = Compose([part for part in loading.transforms if not isinstance(part, LoadImaged)])
        x = steps({"image": image})["image"].as_tensor()[None]
        return x[..., x.shape[-1] // 2] if settings.slices else x

    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        """Read the channels of one image, see :class:`Folding`."""
        return [read_image(list(paths), self.settings.in_channels)]

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        """Return the first test case and the files of its channels, see :class:`Folding`."""
        dataset = read_dataset(dataset_dir)
        check_kind(self.settings, dataset, dataset_dir)
        title = dataset_dir.expanduser().resolve().name
        case = cases_of_part(dataset.cases, self.settings.provenance, title)[0]
        return str(case["name"]), list(np.atleast_1d(case["image"]))

    def stock_bundle(self) -> Union[SegmentationStockBundle, str]:
        """Return the bundle in MONAI's own terms, see :class:`Folding`."""
        largest = max(self.settings.label_values or (0,))
        if largest > _LARGEST:
            return f"MONAI's SaveImage rounds label values above {_LARGEST}, and there is {largest}"
        return SegmentationStockBundle(self.settings)
