"""Random crops and slices of volumes, drawn towards the foreground."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Randomizable, SpatialCrop, SqueezeDimd
from monai.transforms.utils import correct_crop_centers
from monai.utils import fall_back_tuple

__all__ = ["RandForegroundCropd", "slice_sampling"]


class RandForegroundCropd(Randomizable, MapTransform):
    """Crop boxes at random places, a share of them around a voxel of a randomly drawn class.

    Every class present is equally likely, so small structures are seen as often as large ones. MONAI's
    ``RandCropByLabelClassesd`` draws in the same way, but lists every voxel of every class, background included, as
    int64 on each call: gigabytes for a CT volume.

    Args:
        keys: what to crop, all from the same box.
        label_key: class indices (1, *sizes) that crops are drawn from.
        spatial_size: voxels per axis; −1 and more than the image has mean the whole axis.
        foreground: probability in [0, 1] that a box is drawn around a foreground voxel and not anywhere.

    Example:
        >>> label = torch.eye(20, dtype=torch.uint8)[None]
        >>> RandForegroundCropd("label", "label", (8, -1), foreground=1.0)({"label": label})["label"].shape
        torch.Size([1, 8, 20])
    """

    def __init__(
        self, keys: KeysCollection, label_key: str, spatial_size: Sequence[int], foreground: float = 0.5
    ) -> None:
        MapTransform.__init__(self, keys)
        if not 0 <= foreground <= 1:
            raise ValueError(f"foreground must be a probability in [0, 1], got {foreground!r}.")
        self.label_key = label_key
        self.spatial_size = tuple(spatial_size)
        self.foreground = foreground
        self.centre: list[int] = []

    def randomize(self, label: torch.Tensor) -> None:
        """Draw the centre of the next box in ``label`` (1, *sizes)."""
        sizes = label.shape[1:]
        box = [min(n, m) for n, m in zip(fall_back_tuple(self.spatial_size, sizes), sizes, strict=True)]
        centre = None
        if self.R.random() < self.foreground:
            centre = self._foreground_voxel(label[0])
        if centre is None:
            # Uniform over all positions of the box.
            centre = [int(self.R.randint(0, n - m + 1)) + m // 2 for n, m in zip(sizes, box, strict=True)]
        self.centre = list(correct_crop_centers(centre, box, sizes))

    def _foreground_voxel(self, label: torch.Tensor) -> list[int] | None:
        plain = label.as_tensor() if isinstance(label, MetaTensor) else label
        flat = plain.flatten()
        classes = torch.bincount(flat.long() if flat.is_floating_point() else flat.int())[1:].nonzero().flatten()
        if len(classes) == 0:
            return None
        voxels = (flat == int(classes[self.R.randint(len(classes))]) + 1).nonzero().flatten()
        chosen = voxels[self.R.randint(len(voxels))]
        return [int(i) for i in torch.unravel_index(chosen, plain.shape)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the box cut out of every key."""
        label, result = data[self.label_key], dict(data)
        box = fall_back_tuple(self.spatial_size, label.shape[1:])
        if any(n > m for n, m in zip(label.shape[1:], box, strict=True)):
            self.randomize(label)
            crop = SpatialCrop(roi_center=self.centre, roi_size=box)
            for key in self.key_iterator(result):
                result[key] = crop(result[key])
        return result


def slice_sampling(keys: Sequence[str] = ("image", "label"), foreground: float = 0.7) -> Compose:
    """Return a transform from volumes (C, H, W, D) to random axial slices (C, H, W), for 2D networks.

    Axial is the last axis, since :func:`segmentation_preprocessing` brings volumes to RAS. ``foreground`` is the share
    of slices that show at least one voxel of a structure, all structures alike.

    Example:
        >>> volume = {"image": torch.zeros(1, 9, 8, 7), "label": torch.zeros(1, 9, 8, 7, dtype=torch.uint8)}
        >>> slice_sampling()(volume)["image"].shape
        torch.Size([1, 9, 8])
    """
    crop = RandForegroundCropd(keys, keys[-1], spatial_size=(-1, -1, 1), foreground=foreground)
    return Compose([crop, SqueezeDimd(keys, dim=-1)])
