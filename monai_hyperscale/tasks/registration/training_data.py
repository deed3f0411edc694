"""The pairs of a registration's training: found, split by case, described, and as tensors for a data loader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, ResizeWithPadOrCrop, Spacingd
from monai.utils import convert_to_tensor
from torch.utils.data import Dataset

from monai_hyperscale.data.check import check_dimensions
from monai_hyperscale.data.headers import image_files, seen_images
from monai_hyperscale.data.reading import CachedCases
from monai_hyperscale.data.training_cases import TrainingCases, facts_of, folder_or_made
from monai_hyperscale.errors import ConfigError, DatasetError
from monai_hyperscale.io.files import digest
from monai_hyperscale.tasks.registration.pair_files import PathLike, check_pairs, read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import common_size
from monai_hyperscale.tasks.registration.pairs import PairList, split_pairs
from monai_hyperscale.tasks.registration.recorded_pairs import pairing_facts
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs

# As many pairs as tell networks apart, of all that the cases make.
_VALIDATION, _TEST = 20, 40


@dataclass(frozen=True)
class RegistrationData(TrainingCases):
    """The pairs of a training, :class:`PairList`, by case; ``sizes`` is what images are padded or cropped to."""

    sizes: tuple[int, ...]


def load_registration_data(
    dataset_dir: str | Path | None,
    synthetic_dir: PathLike,
    spatial_dims: int = 3,
    fractions: Sequence[float] = (0.75, 0.05, 0.2),
    pairs: PathLike | None = None,
    atlas: PathLike | None = None,
    atlas_label: PathLike | None = None,
    sizes: int | Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    seed: int = 0,
    synthetic: Mapping[str, Any] | None = None,
) -> RegistrationData:
    """Find and split the pairs of a folder, or synthetic ones with known displacement if none is named.

    ``dataset_dir``, ``pairs``, ``atlas`` and ``atlas_label`` are those of :func:`read_pairs`; synthetic pairs are
    written to ``synthetic_dir``, with the further arguments ``synthetic`` of :func:`write_synthetic_pairs`.
    ``spatial_dims`` is of the network; one of 2 dimensions learns from the slices of volumes, too. ``fractions`` are
    the shares of training, validation and test cases, ``sizes`` the voxels that images are padded or cropped to,
    ``None`` for what holds them all within reason, ``spacing`` the voxel size in mm that volumes will be resampled to,
    and ``seed`` that of the split, the draw and synthetic pairs. Images that cannot be used are a
    :class:`DatasetError`.
    """
    folder, title = folder_or_made(
        dataset_dir,
        f"synthetic {spatial_dims}D pairs",
        lambda: write_synthetic_pairs(synthetic_dir, spatial_dims, seed=seed, **(synthetic or {})),
    )
    images = read_pairs(folder, pairs, atlas, atlas_label)
    check_pairs(images)
    check_dimensions(title, images.spatial_dims, spatial_dims)
    parts = split_pairs(images, fractions, seed)
    size = common_size(images, spacing) if sizes is None else _sizes(sizes, images.spatial_dims)
    subjects = {case["name"] for case in images.subjects}
    names = [[case["name"] for case in part.cases if case["name"] in subjects] for part in parts]
    train, validation, test = parts[0], parts[1].sample(_VALIDATION, seed), parts[2].sample(_TEST, seed)
    logging.getLogger(__name__).info(
        f"{title}: {len(images.cases)} images, channels {', '.join(images.channels)}, labels "
        f"{', '.join(images.labels.values()) or 'none'}; {len(train)} training, {len(validation)} validation and "
        f"{len(test)} test pairs; sizes {size}."
    )
    facts = facts_of(images, title, names, spatial_dims)
    facts["provenance"] |= pairing_facts(images, pairs, atlas)
    facts["fingerprint"] = digest([names, [[pair["name"] for pair in part] for part in (validation, test)]])
    seen = seen_images(train.cases) if train.cases else None
    return RegistrationData(folder, train, validation, test, seen=seen, sizes=size, **facts)


def _sizes(sizes: int | Sequence[int], axes: int) -> tuple[int, ...]:
    found = [sizes] * axes if isinstance(sizes, int) else list(sizes)
    if len(found) != axes:
        raise ConfigError(f"sizes must be {axes} numbers above 0, one per axis of the images, got {found}.")
    return tuple(found)


class PairDataset(Dataset):
    """Pairs of images as tensors; every image is read and preprocessed once, now, however many pairs it is in.

    An item is ``{"moving", "fixed"[, "moving_label", "fixed_label"][, "field"], "name"}``: images float32 (C, *sizes),
    labels class indices (1, *sizes), and the true displacement (D, *sizes) in voxels, where the list has it for all
    pairs and ``transform`` does not resample the images. Which pair an index means never changes.

    ``transform`` is of one case, see :func:`registration_preprocessing`, ``pair_transform`` of a pair, such as
    :class:`PairSlice`. ``cache_rate``, ``num_workers`` and what is raised are those of :class:`CachedCases`. With
    ``known_fields`` samples carry the known displacement of their pair, read from its file every time.

    Example:
        >>> import tempfile
        >>> from monai_hyperscale.tasks.registration import registration_preprocessing
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images = read_pairs(write_synthetic_pairs(folder, spatial_dims=2, pairs=3, size=24))
        ...     sample = PairDataset(images.pair_list, registration_preprocessing(images.channels, 2, (32, 32)))[1]
        >>> sample["name"], sample["field"].shape
        ('pair_001_moving to pair_001_fixed', torch.Size([2, 32, 32]))
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
        self.images = CachedCases(pairs.cases, transform, cache_rate, num_workers)
        self.transform = pair_transform

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs.pair(index)
        sample: dict[str, Any] = {"name": self.pairs[index]["name"]}
        for key, place in (("moving", pair.moving), ("fixed", pair.fixed)):
            case = self.images[place]
            sample[key] = case["image"]
            if isinstance(case.get("label"), torch.Tensor):
                sample[f"{key}_label"] = case["label"]
        if self.has_fields:
            images = [image_files(self.pairs.cases[place])[0] for place in (pair.fixed, pair.moving)]
            sample["field"] = _known_field(str(pair.field), sample["fixed"].shape[1:], images)
        if sample["moving"].shape != sample["fixed"].shape:
            raise DatasetError(
                f"the images of {sample['name']} have sizes {list(sample['moving'].shape[1:])} and "
                f"{list(sample['fixed'].shape[1:])}; give sizes to pad or crop them to."
            )
        return sample if self.transform is None else self.transform(sample)


def _known_field(path: str, sizes: Sequence[int], images: Sequence[str]) -> torch.Tensor:
    """Read a field file as the images are read: in RAS order, the centre padded or cropped, (D, *sizes) in voxels.

    The pair's images, the fixed one first, must be on its grid: padding around other centres would shift them.
    """
    # Here, because most data sets have no fields.
    from monai_hyperscale.io.fields import grid_affine, read_field
    from monai_hyperscale.io.grids import Grid, grid_of, in_ras, reordered
    from monai_hyperscale.io.images import read_source

    field = read_field(path)
    sources = [read_source(image) for image in images]
    for image in sources:
        if not Grid(image.shape, grid_affine(image)).same_as(grid_of(field), tolerance=0.01):
            raise DatasetError(
                f"the known displacement {path} is on another grid than {image.path}; resample both images of the "
                "pair to the field's grid, or leave the field out of the list."
            )
    values = field.as_tensor()
    if len(values) == 3:
        # As the images are turned: ITK may read their headers in another way, see grid_affine.
        own = Grid(tuple(values.shape[1:]), np.asarray(sources[0].affine, dtype=float))
        values = reordered(values, own, in_ras(own), vectors=True)
    if len(values) != len(sizes):
        raise DatasetError(f"{path} is a field of {len(values)} axes, the images have {len(sizes)}.")
    return convert_to_tensor(ResizeWithPadOrCrop(tuple(sizes))(values), track_meta=False)
