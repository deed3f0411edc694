"""The cases of a training: found, checked, split, and described for the network that learns from them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import ignite.distributed as idist
import numpy as np
from monai.utils import ensure_tuple_rep
from nibabel.orientations import io_orientation

from monai_hyperscale.bundle.settings import ModelSettings
from monai_hyperscale.data import (
    SegmentationDataset,
    check_dataset,
    read_dataset,
    split_cases,
    write_synthetic_dataset,
)
from monai_hyperscale.data.headers import file_stem, file_suffix, read_header
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.training.config_checks import ends_with_one_sentence

__all__ = ["TrainingData", "images_to_segment", "load_training_data", "require_images", "typical_size"]

# Largest crop per axis by default: what trains in reasonable time and memory.
_LARGEST = {2: 256, 3: 96}


@dataclass(frozen=True)
class TrainingData:
    """What a bundle's configuration asks of its data set.

    Args:
        train: cases to learn from, as MONAI's data lists have them.
        validation: cases to choose the best weights by.
        test: cases nothing depends on, for the report.
        channels: names of the image channels.
        labels: names of the class indices but the background.
        label_values: value of every class index in the label files.
        spatial_dims: 2 or 3, of the files.
        roi_size: crop of a training sample, one number per axis of the network.
        title: what the data are, for people.
        provenance: where they came from and how they were split, for ``model.json``.
    """

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    test: list[dict[str, Any]]
    channels: tuple[str, ...]
    labels: dict[int, str]
    label_values: tuple[int, ...]
    spatial_dims: int
    roi_size: tuple[int, ...]
    title: str
    provenance: dict[str, Any]


@ends_with_one_sentence
def load_training_data(
    dataset_dir: Optional[Union[str, Path]],
    synthetic_dir: Union[str, Path],
    spatial_dims: int = 3,
    slices: bool = False,
    fractions: Sequence[float] = (0.75, 0.05, 0.2),
    roi_size: Union[None, int, Sequence[int]] = None,
    seed: int = 0,
    synthetic: Optional[Mapping[str, Any]] = None,
    expected: Optional[ModelSettings] = None,
) -> TrainingData:
    """Find, check and split the cases of a data set, or of synthetic anatomy if none is named.

    Args:
        dataset_dir: folder of the data set, see :func:`read_dataset`; ``None`` for synthetic anatomy.
        synthetic_dir: where synthetic anatomy is written.
        spatial_dims: 2 or 3, of the network.
        slices: whether a 2D network learns from slices of volumes.
        fractions: shares of training, validation and test cases.
        roi_size: crop of a training sample; ``None`` for the typical image size, cut to what trains in reasonable
            time.
        seed: seed of the split and of the synthetic anatomy.
        synthetic: further arguments of :func:`write_synthetic_dataset`, such as ``cases`` and ``size``.
        expected: a trained network that the data are for, whose channels they must have.

    Raises:
        SystemExit: with one sentence, if the data set cannot be used.
    """
    logger = logging.getLogger(__name__)
    file_dims = 3 if slices else spatial_dims
    title = Path(dataset_dir).resolve().name if dataset_dir is not None else f"synthetic {file_dims}D anatomy"
    if dataset_dir is None:
        logger.info("No dataset_dir is given: training on synthetic anatomy, random shapes in random contrast.")
        with idist.one_rank_first():
            dataset_dir = write_synthetic_dataset(synthetic_dir, file_dims, seed=seed, **(synthetic or {}))
    dataset = read_dataset(dataset_dir)
    check_dataset(dataset)
    if dataset.spatial_dims != file_dims:
        wanted = "images.json" if dataset.spatial_dims == 2 else "train.json alone, or slices.json"
        raise DatasetError(
            f"{dataset_dir} holds {dataset.spatial_dims}D images, this configuration expects {file_dims}D: "
            f"use {wanted}."
        )
    if expected is not None and len(dataset.channels) != expected.in_channels:
        raise DatasetError(
            f"the network takes {expected.in_channels} channels ({', '.join(expected.channels)}), "
            f"{dataset_dir} has {len(dataset.channels)}: use data of the same channels."
        )
    parts = split_cases(dataset.cases, fractions, seed)
    size = typical_size(dataset)[:spatial_dims] if roi_size is None else ensure_tuple_rep(roi_size, spatial_dims)
    counts = [len(part) for part in parts]
    logger.info(
        f"{title}: {len(dataset.cases)} cases, channels {', '.join(dataset.channels)}, labels "
        f"{', '.join(dataset.labels.values())}; {counts[0]} train, {counts[1]} validation, {counts[2]} test; "
        f"crops of {size}."
    )
    parts_of = dict(zip(("train", "validation", "test"), counts, strict=True))
    provenance = {"data": title, "cases": parts_of, "split_seed": seed}
    return TrainingData(
        *parts,
        channels=dataset.channels,
        labels=dataset.labels,
        label_values=dataset.label_values,
        spatial_dims=dataset.spatial_dims,
        roi_size=tuple(size),
        title=title,
        provenance=provenance,
    )


def typical_size(dataset: SegmentationDataset, sample: int = 50) -> tuple[int, ...]:
    """Return the median image size in RAS axes, up to a multiple of 8 and no more than trains in reasonable time.

    Args:
        dataset: whose headers are read.
        sample: how many of its cases to look at.
    """
    sizes = []
    for case in dataset.cases[:: max(1, len(dataset.cases) // sample)]:
        image = case["image"]
        header = read_header(image if isinstance(image, str) else image[0])
        extent = np.asarray(header.sizes)
        if header.affine is not None and len(extent) == 3:
            axes = io_orientation(header.affine)[:, 0].astype(int)
            extent = extent[np.argsort(axes)]
        sizes.append(extent)
    median = np.median(sizes, axis=0)
    rounded = (np.ceil(median / 8) * 8).astype(int)
    return tuple(int(n) for n in np.minimum(rounded, _LARGEST[len(median)]))


@ends_with_one_sentence
def images_to_segment(dataset_dir: Optional[Union[str, Path]]) -> list[dict[str, Any]]:
    """Return the images that inference runs over, as a MONAI data list.

    Args:
        dataset_dir: a data set, of which ``imagesTs`` is taken if it has any and all its cases otherwise, or a folder
            of image files; ``None`` for none.

    Raises:
        SystemExit: with one sentence, if the folder holds no image.
    """
    if dataset_dir is None:
        return []
    for folder in (Path(dataset_dir) / "imagesTs", Path(dataset_dir)):
        images = sorted(path for path in folder.glob("[!.]*") if file_suffix(path)) if folder.is_dir() else []
        if images:
            return [{"image": str(path), "name": file_stem(path)} for path in images]
    return [{"image": case["image"], "name": case["name"]} for case in read_dataset(dataset_dir).cases]


@ends_with_one_sentence
def require_images(images: Sequence[Any], dataset_dir: Optional[Union[str, Path]]) -> None:
    """End the program with one sentence if there is no image to segment.

    Raises:
        SystemExit: if there is none.
    """
    if not images:
        raise DatasetError(f"no image to segment in {dataset_dir}; name a folder of images with --dataset_dir.")
