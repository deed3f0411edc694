"""Images to the voxel size that a network was trained on, where their own is another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Union

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.transforms import InvertibleTransform, MapTransform, SpatialResample
from monai.utils import ensure_tuple_rep

from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.io.seen import SeenImages

__all__ = ["SeenSpacingd", "check_seen"]


def check_seen(image: MetaTensor, seen: SeenImages, axes: int = 3, force: bool = False) -> MetaTensor:
    """Return an image (C, *sizes), or refuse one far outside of a network's training: :meth:`SeenImages.check`."""
    grid = grid_of(image)
    seen.check(str(image.meta.get("filename_or_obj") or "the image"), grid.sizes, grid.affine, axes, force)
    return image


class SeenSpacingd(MapTransform, InvertibleTransform):
    """MONAI's ``Spacingd`` to the voxel size of a training, for volumes whose own was not among it."""

    def __init__(
        self, keys: KeysCollection, seen: SeenImages, axes: int = 3, mode: Union[str, Sequence[str]] = "bilinear"
    ) -> None:
        super().__init__(keys)
        self.seen, self.axes = seen, axes
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resample = SpatialResample()

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool = False) -> dict[Hashable, Any]:
        """Return the data with volumes at that voxel size."""
        result = dict(data)
        for key, mode in self.key_iterator(result, self.mode):
            image = result[key]
            own = np.asarray(image.affine, dtype=np.float64)
            spacing = self.seen.spacing_for(own, self.axes)
            # As MONAI's Spacing, whose voxel size is the same for all images.
            affine = own if spacing is None else zoom_affine(own, spacing, diagonal=False)
            sizes, offset = compute_shape_offset(image.shape[1:], own, affine, scale_extent=False)
            affine[:3, 3] = offset[:3]
            options = {"mode": mode, "padding_mode": "border", "lazy": lazy}
            result[key] = self.resample(
                image, dst_affine=torch.as_tensor(affine), spatial_size=sizes.astype(int).tolist(), **options
            )
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with volumes on the grid that they came from."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.resample.inverse(result[key])
        return result
