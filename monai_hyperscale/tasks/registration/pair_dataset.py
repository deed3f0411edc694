"""Pairs of preprocessed images for a data loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, ResizeWithPadOrCrop, Spacingd
from monai.utils import convert_to_tensor
from nibabel.orientations import apply_orientation, io_orientation
from torch.utils.data import Dataset

from monai_hyperscale.data.caching import CachedCases
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.tasks.registration.pairs import PairList

__all__ = ["PairDataset", "known_field"]


class PairDataset(Dataset):
    """Pairs of images as tensors; every image is read and preprocessed once, however many pairs it is in.

    An item is ``{"moving", "fixed"[, "moving_label", "fixed_label"][, "field"], "name"}``: images float32 (C, *sizes),
    labels class indices (1, *sizes), and the true displacement (D, *sizes) in voxels, where the list has it for all
    pairs and ``transform`` does not resample the images.

    Which pair an index means never changes, so a sampler draws the pairs:
    ``torch.utils.data.RandomSampler(dataset, num_samples=…)`` draws from all of them without listing them, from torch's
    seed of the epoch, and the same with worker processes and without.

    Args:
        pairs: of cases, see :func:`split_pairs`.
        transform: of one case, see :func:`registration_preprocessing`.
        pair_transform: of a pair, such as :func:`pair_augmentation`, or ``None``.
        cache_rate: share of the cases that is kept in memory.
        num_workers: threads that fill the cache.
        known_fields: whether samples carry the known displacement of their pair, read from its file every time.

    Example:
        >>> import tempfile
        >>> from monai_hyperscale.tasks.registration import (
        ...     read_pairs, registration_preprocessing, write_synthetic_pairs
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images = read_pairs(write_synthetic_pairs(folder, spatial_dims=2, pairs=3, size=24))
        ...     values = images.label_values
        ...     preprocessing = registration_preprocessing(images.channels, 2, (32, 32), label_values=values)
        ...     sample = PairDataset(images.pair_list, preprocessing)[1]
        >>> sample["name"], [tuple(sample[key].shape) for key in ("moving", "fixed_label", "field")]
        ('pair_001_moving to pair_001_fixed', [(1, 32, 32), (1, 32, 32), (2, 32, 32)])
    """

    def __init__(
        self,
        pairs: PairList,
        transform: Callable,
        pair_transform: Callable | None = None,
        cache_rate: float = 1.0,
        num_workers: int = 2,
        known_fields: bool = True,
    ) -> None:
        resampled = isinstance(transform, Compose) and any(isinstance(t, Spacingd) for t in transform.transforms)
        self.pairs = pairs
        self.has_fields = known_fields and pairs.has_fields and not resampled
        self.images = CachedCases(
            pairs.cases, transform, cache_rate=cache_rate, num_workers=num_workers, progress=False
        )
        self.transform = pair_transform

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs.pair(index)
        sample: dict[str, Any] = {"name": self.pairs[index]["name"]}
        for key, place in (("moving", pair.moving), ("fixed", pair.fixed)):
            case = self.images[place]
            sample[key] = case["image"]
            if "label" in case and isinstance(case["label"], torch.Tensor):
                sample[f"{key}_label"] = case["label"]
        if self.has_fields:
            images = [_first(self.pairs.cases[place]["image"]) for place in (pair.fixed, pair.moving)]
            sample["field"] = known_field(str(pair.field), sample["fixed"].shape[1:], images)
        if sample["moving"].shape != sample["fixed"].shape:
            raise DatasetError(
                f"the images of {sample['name']} have sizes {list(sample['moving'].shape[1:])} and "
                f"{list(sample['fixed'].shape[1:])}; give sizes to pad or crop them to."
            )
        return sample if self.transform is None else self.transform(sample)


def _first(image: str | Sequence[str]) -> str:
    return image if isinstance(image, str) else image[0]


def known_field(path: str, sizes: Sequence[int], images: Sequence[str] = ()) -> torch.Tensor:
    """Read a displacement field as the images are read: volumes in RAS order, the centre padded or cropped.

    Args:
        path: of a file in ITK's convention.
        sizes: voxels per axis of what comes out.
        images: paths of the pair, the fixed one first, which must be on the field's grid: on others, padding or
            cropping around their own centres would shift the images against each other, and the field would be wrong.

    Returns:
        (D, *sizes) in voxels, float32, 0 in the padding.

    Raises:
        ImageError: if the file cannot be read.
        DatasetError: if the field has another number of axes, or an image another grid.
    """
    # Here, because most data sets have no fields.
    from monai_hyperscale.io.fields import grid_affine, read_field
    from monai_hyperscale.io.grids import Grid, grid_of
    from monai_hyperscale.io.images import read_source

    field = read_field(path)
    sources = [read_source(image) for image in images]
    for image in sources:
        if not Grid(image.shape, grid_affine(image)).same_as(grid_of(field), tolerance=0.01):
            raise DatasetError(
                f"the known displacement {path} is on another grid than {image.path}; resample both images of the "
                "pair to the field's grid, or leave the field out of the list."
            )
    values = np.asarray(field, dtype=np.float32)
    if len(values) == 3:
        # As the images are turned: ITK may read their headers in another way, see grid_affine.
        axes = io_orientation(np.asarray(sources[0].affine if sources else field.affine, dtype=float))
        # Displacements turn with the axes that they are along.
        turned = apply_orientation(np.moveaxis(values, 0, -1), axes)
        values = np.empty((3, *turned.shape[:3]), np.float32)
        for source, (target, sign) in enumerate(axes):
            values[int(target)] = sign * turned[..., source]
    if len(values) != len(sizes):
        raise DatasetError(f"{path} is a field of {len(values)} axes, the images have {len(sizes)}.")
    return convert_to_tensor(ResizeWithPadOrCrop(tuple(sizes))(torch.from_numpy(values)), track_meta=False)
