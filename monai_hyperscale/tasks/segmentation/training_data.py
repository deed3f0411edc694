"""The cases of a training: found, checked, split, and described for the network that learns from them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from monai.utils import ensure_tuple_rep

from monai_hyperscale.data import check_dataset, read_dataset, split_cases, write_synthetic_dataset
from monai_hyperscale.data.check import check_dimensions, tell_places
from monai_hyperscale.data.datalist import spread
from monai_hyperscale.data.headers import file_suffix, seen_images, sizes_at
from monai_hyperscale.data.training_cases import TrainingCases, facts_of, folder_or_made
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io import ImageFiles, check_same_grid, group_channels, read_source

# Largest crop per axis by default: what trains in reasonable time and memory.
_LARGEST = {2: 256, 3: 96}


@dataclass(frozen=True)
class TrainingData(TrainingCases):
    """The labelled images of a training; ``roi_size`` is the crop of a sample, one number per axis of the network."""

    roi_size: tuple[int, ...]


def load_training_data(
    dataset_dir: Optional[Union[str, Path]],
    synthetic_dir: Union[str, Path],
    spatial_dims: int = 3,
    channels: Optional[Sequence[str]] = None,
    fractions: Sequence[float] = (0.75, 0.05, 0.2),
    roi_size: Union[None, int, Sequence[int]] = None,
    spacing: Optional[Sequence[float]] = None,
    seed: int = 0,
    synthetic: Optional[Mapping[str, Any]] = None,
) -> TrainingData:
    """Find, check and split the cases of a data set, or of synthetic anatomy if none is named.

    Folders are read by :func:`read_dataset`; synthetic anatomy is written to ``synthetic_dir``, with the further
    arguments ``synthetic`` of :func:`write_synthetic_dataset`. ``spatial_dims`` is of the network; one of 2 dimensions
    learns from the slices of volumes, too. ``channels`` are names in place of those of the data set; they choose the
    scale, see :class:`NormalizeChannels`. ``fractions`` are the shares of training, validation and test cases,
    ``roi_size`` is the crop of a sample, ``None`` for the typical image size, cut to what trains in reasonable time,
    ``spacing`` the voxel size in mm that volumes will be resampled to, and ``seed`` that of the split and of synthetic
    anatomy. A data set that cannot be used is a :class:`DatasetError`.
    """
    folder, title = folder_or_made(
        dataset_dir,
        f"synthetic {spatial_dims}D anatomy",
        lambda: write_synthetic_dataset(synthetic_dir, spatial_dims, seed=seed, **(synthetic or {})),
    )
    dataset = read_dataset(folder)
    if channels is not None and len(channels) != len(dataset.channels):
        raise DatasetError(
            f"channels names {len(channels)} ({', '.join(channels)}), but the data set has {len(dataset.channels)} "
            f"({', '.join(dataset.channels)}); name as many."
        )
    dataset = replace(dataset, channels=tuple(channels or dataset.channels))
    check_dataset(dataset)
    check_dimensions(title, dataset.spatial_dims, spatial_dims)
    parts = split_cases(dataset.cases, fractions, seed)
    size = typical_size(dataset.cases, spacing)[:spatial_dims]
    if roi_size is not None:
        size = ensure_tuple_rep(roi_size, spatial_dims)
    counts = [len(part) for part in parts]
    logging.getLogger(__name__).info(
        f"{title}: {len(dataset.cases)} cases, channels {', '.join(dataset.channels)}, labels "
        f"{', '.join(dataset.labels.values())}; {counts[0]} train, {counts[1]} validation, {counts[2]} test; "
        f"crops of {size}."
    )
    facts = facts_of(dataset, title, [[case["name"] for case in part] for part in parts], spatial_dims)
    return TrainingData(folder, *parts, seen=seen_images(parts[0]), roi_size=tuple(size), **facts)


def typical_size(cases: Sequence[Mapping[str, Any]], spacing: Optional[Sequence[float]] = None) -> tuple[int, ...]:
    """Return the median image size of 50 cases, up to a multiple of 8 and no more than trains in reasonable time."""
    median = np.median(sizes_at(spread(cases, 50), spacing), axis=0)
    rounded = (np.ceil(median / 8) * 8).astype(int)
    return tuple(int(n) for n in np.minimum(rounded, _LARGEST[len(median)]))


def images_to_segment(dataset_dir: Optional[Union[str, Path]], channels: int = 1) -> list[dict[str, Any]]:
    """Return the images that inference runs over, as a MONAI data list; none without a folder.

    Of a data set ``imagesTs`` is taken if it has any, and all its cases otherwise; or the image files of a folder, with
    one file per ``channels`` of the network by :func:`monai_hyperscale.io.group_channels`. A folder without images, two
    of one name, which outputs are named after, or channel files that are missing or on different grids, are a
    :class:`DatasetError`.
    """
    if dataset_dir is None:
        return []
    for folder in (Path(dataset_dir) / "imagesTs", Path(dataset_dir)):
        images = sorted(path for path in folder.glob("[!.]*") if file_suffix(path)) if folder.is_dir() else []
        if images:
            cases = _data_list(group_channels(images, channels))
            break
    else:
        cases = [{"image": case["image"], "name": case["name"]} for case in read_dataset(dataset_dir).cases]
    tell_places(cases)
    return cases


def _data_list(images: Sequence[ImageFiles]) -> list[dict[str, Any]]:
    named: dict[str, ImageFiles] = {}
    for image in images:
        other = named.setdefault(image.name, image)
        if other is not image:
            raise DatasetError(
                f"{other.paths[0]} and {image.paths[0]} would both be written as {image.name}; rename or move one."
            )
        if len(image.paths) > 1:
            check_same_grid([read_source(path) for path in image.paths])
    files = [[str(path) for path in image.paths] for image in images]
    return [
        {"image": paths[0] if len(paths) == 1 else paths, "name": image.name}
        for paths, image in zip(files, images, strict=True)
    ]


def require_images(images: Sequence[Any], dataset_dir: Optional[Union[str, Path]], purpose: str = "segment") -> None:
    """Raise a :class:`DatasetError` if no image was found in a folder to ``purpose``, a verb."""
    if not images:
        raise DatasetError(f"no image to {purpose} in {dataset_dir}; name a folder of images with --dataset_dir.")
