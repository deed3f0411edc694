"""Images to the voxel size that a network was trained on, where their own is another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Union

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.transforms import InvertibleTransform, MapTransform, SpatialResample
from monai.utils import ensure_tuple_rep

from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.io.seen import SeenImages

__all__ = ["CheckSeend", "SeenSpacingd"]


class CheckSeend(MapTransform):
    """Refuse images that are far outside of what a network was trained on, see :meth:`SeenImages.check`.

    Args:
        keys: of images (C, *sizes).
        seen: what the images of the training were like.
        axes: how many count: 2 for a network on axial slices.
        force: take them all the same, with a warning in the log.
    """

    def __init__(self, keys: KeysCollection, seen: SeenImages, axes: int = 3, force: bool = False) -> None:
        super().__init__(keys)
        self.seen, self.axes, self.force = seen, axes, force

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data; an :class:`ImageError` says of an image that it is outside."""
        for key in self.key_iterator(dict(data)):
            image = data[key]
            grid = grid_of(image)
            name = str(image.meta.get("filename_or_obj") or "the image")
            self.seen.check(name, grid.sizes, grid.affine, self.axes, self.force)
        return dict(data)


class SeenSpacingd(MapTransform, InvertibleTransform):
    """MONAI's ``Spacingd`` to the voxel size of a training, for volumes whose own was not among it.

    Args:
        keys: of images (C, *sizes).
        seen: what the images of the training were like.
        axes: how many count: 2 for a network on axial slices.
        mode: of every key: ``bilinear``, or ``nearest`` for labels.

    Example:
        >>> from monai.data import MetaTensor
        >>> seen = SeenImages.of([((40, 50, 36), np.eye(4))])
        >>> thick = MetaTensor(torch.rand(1, 40, 50, 9), affine=torch.diag(torch.tensor([1.0, 1.0, 4.0, 1.0])))
        >>> SeenSpacingd("image", seen)({"image": thick})["image"].shape
        torch.Size([1, 40, 50, 33])
    """

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
