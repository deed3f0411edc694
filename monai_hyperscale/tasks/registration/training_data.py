"""The pairs of a registration's training: found, split by case, and described for the network that learns from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import ignite.distributed as idist
from monai.transforms import Compose, DeleteItemsd

from monai_hyperscale.data.check import check_dimensions
from monai_hyperscale.data.headers import seen_images
from monai_hyperscale.errors import ConfigError
from monai_hyperscale.io.hashing import digest
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.tasks.registration.check_pairs import check_pairs
from monai_hyperscale.tasks.registration.pair_dataset import PairDataset
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import PairSlice, common_size
from monai_hyperscale.tasks.registration.pairs import PairList, split_pairs
from monai_hyperscale.tasks.registration.recorded_pairs import pairing_facts
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs

__all__ = ["RegistrationData", "cached_pairs", "evaluation_pairs", "load_registration_data"]

# As many pairs as tell networks apart, of all that the cases make.
_VALIDATION, _TEST = 20, 40


@dataclass(frozen=True)
class RegistrationData:
    """What a bundle's configuration asks of its pairs.

    Args:
        folder: of the images.
        train: pairs to learn from.
        validation: pairs to choose the best weights by.
        test: pairs of cases that nothing depends on, for the report.
        channels: names of the channels of one image.
        labels: names of the class indices but the background; empty where there are no labels.
        label_values: value of every class index in the label files.
        spatial_dims: 2 or 3, of the files.
        slices: whether the network sees them slice by slice.
        sizes: what images are padded or cropped to, one number per axis of the files.
        seen: voxel size, extent and orientation of the training cases.
        title: what the data are, for people.
        provenance: where they came from and how they were split, for ``model.json``.
        fingerprint: of the cases' names and their split.
    """

    folder: Path
    train: PairList
    validation: PairList
    test: PairList
    channels: tuple[str, ...]
    labels: dict[int, str]
    label_values: tuple[int, ...]
    spatial_dims: int
    slices: bool
    sizes: tuple[int, ...]
    seen: Optional[SeenImages]
    title: str
    provenance: dict[str, Any]
    fingerprint: str


def load_registration_data(
    dataset_dir: Optional[Union[str, Path]],
    synthetic_dir: Union[str, Path],
    spatial_dims: int = 3,
    fractions: Sequence[float] = (0.75, 0.05, 0.2),
    pairs: Optional[Union[str, Path]] = None,
    atlas: Optional[Union[str, Path]] = None,
    atlas_label: Optional[Union[str, Path]] = None,
    sizes: Union[None, int, Sequence[int]] = None,
    spacing: Optional[Sequence[float]] = None,
    seed: int = 0,
    synthetic: Optional[Mapping[str, Any]] = None,
) -> RegistrationData:
    """Find and split the pairs of a folder, or synthetic ones with known displacement if none is named.

    Args:
        dataset_dir: folder of the images, see :func:`read_pairs`; ``None`` for synthetic pairs.
        synthetic_dir: where synthetic pairs are written.
        spatial_dims: 2 or 3, of the network; one of 2 dimensions learns from the slices of volumes, too.
        fractions: shares of training, validation and test cases.
        pairs: a list of pairs, see :func:`read_pairs`.
        atlas: the fixed image of every pair, a case's name or a file, see :func:`read_pairs`.
        atlas_label: label map of an atlas that is a file.
        sizes: voxels that images are padded or cropped to; ``None`` for what holds them all, within reason.
        spacing: voxel size in mm that volumes will be resampled to, or ``None``.
        seed: seed of the split, the draw and synthetic pairs.
        synthetic: further arguments of :func:`write_synthetic_pairs`, such as ``pairs`` and ``size``.

    Raises:
        DatasetError: if the images cannot be used.
    """
    logger = logging.getLogger(__name__)
    title = Path(dataset_dir).resolve().name if dataset_dir is not None else f"synthetic {spatial_dims}D pairs"
    if dataset_dir is None:
        logger.info("No dataset_dir is given: training on synthetic pairs with known displacement.")
        with idist.one_rank_first():
            dataset_dir = write_synthetic_pairs(synthetic_dir, spatial_dims, seed=seed, **(synthetic or {}))
    images = read_pairs(dataset_dir, pairs, atlas, atlas_label)
    check_pairs(images)
    check_dimensions(title, images.spatial_dims, spatial_dims)
    parts = split_pairs(images, fractions, seed)
    size = common_size(images, spacing) if sizes is None else _sizes(sizes, images.spatial_dims)
    subjects = {case["name"] for case in images.subjects}
    names = [[case["name"] for case in part.cases if case["name"] in subjects] for part in parts]
    train, validation, test = parts[0], parts[1].sample(_VALIDATION, seed), parts[2].sample(_TEST, seed)
    counts = f"{len(train)} training, {len(validation)} validation and {len(test)} test pairs"
    logger.info(
        f"{title}: {len(images.cases)} images, channels {', '.join(images.channels)}, labels "
        f"{', '.join(images.labels.values()) or 'none'}; {counts}; sizes {size}."
    )
    cases = dict(zip(("train", "validation", "test"), names, strict=True))
    provenance = {"data": title, "cases": cases, **pairing_facts(images, pairs, atlas)}
    return RegistrationData(
        Path(dataset_dir),
        train,
        validation,
        test,
        channels=images.channels,
        labels=images.labels,
        label_values=images.label_values,
        spatial_dims=images.spatial_dims,
        slices=images.spatial_dims > spatial_dims,
        sizes=size,
        seen=seen_images(parts[0].cases) if parts[0].cases else None,
        title=title,
        provenance=provenance,
        fingerprint=digest([names, [[pair["name"] for pair in part] for part in (validation, test)]]),
    )


def _sizes(sizes: Union[int, Sequence[int]], axes: int) -> tuple[int, ...]:
    found = [sizes] * axes if isinstance(sizes, int) else list(sizes)
    if len(found) != axes:
        raise ConfigError(f"sizes must be {axes} numbers above 0, one per axis of the images, got {found}.")
    return tuple(found)


def evaluation_pairs(slices: bool = False, spacing: Optional[Sequence[float]] = None) -> Compose:
    """Return what is done to a pair of preprocessed volumes before it is measured.

    Args:
        slices: whether a 2D network sees one slice of each, the one with most labels, see :class:`PairSlice`.
        spacing: voxel size that the images were resampled to: their known displacement, which was not, is left out.

    Example:
        >>> import torch
        >>> pair = {"moving": torch.rand(1, 9, 8, 7), "fixed": torch.rand(1, 9, 8, 7), "field": torch.ones(3, 9, 8, 7)}
        >>> {key: tuple(value.shape) for key, value in evaluation_pairs(slices=True)(pair).items()}
        {'moving': (1, 9, 8), 'fixed': (1, 9, 8)}
    """
    transforms: list[Any] = [PairSlice()] if slices else []
    if spacing is not None:
        transforms.append(DeleteItemsd("field"))
    return Compose(transforms)


def cached_pairs(
    pairs: PairList,
    transform: Callable,
    pair_transform: Optional[Callable] = None,
    cache_rate: float = 1.0,
    known_fields: bool = True,
) -> PairDataset:
    """Return a :class:`PairDataset`, which reads every file now.

    Args:
        pairs: to draw from.
        transform: of one image.
        pair_transform: of a pair.
        cache_rate: share of the images that is kept in memory.
        known_fields: whether samples carry the known displacement of their pair; no training needs it.

    Raises:
        RuntimeError: if a file cannot be read: MONAI's, caused by the :class:`ImageError` that tells which.
    """
    return PairDataset(pairs, transform, pair_transform, cache_rate, known_fields=known_fields)
