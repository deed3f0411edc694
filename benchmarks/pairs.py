"""Pairs of images in memory: of a folder, split by case, or synthetic ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.pair_transforms import common_size, registration_preprocessing
from monai_hyperscale.tasks.registration.pairs import split_pairs
from monai_hyperscale.tasks.registration.synthetic_pairs import synthetic_pair
from monai_hyperscale.tasks.registration.training_data import PairDataset

__all__ = ["Pairs", "folder_pairs", "synthetic_pairs"]

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Pairs:
    """Training pairs to draw from, and test pairs of other cases.

    Args:
        training: anything with ``len`` that gives a pair by its index.
        test: the pairs to measure.
        classes: number of labels with the background.
        sizes: voxels per axis of the images.
        title: what the data are.
    """

    training: Any
    test: Sequence[dict[str, Any]]
    classes: int
    sizes: tuple[int, ...]
    title: str

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        """Return a batch of training pairs drawn at random."""
        chosen = torch.randint(len(self.training), (count,), generator=generator).tolist()
        return collated([self.training[index] for index in chosen])


def collated(samples: Sequence[dict[str, Any]]) -> Batch:
    """Return a batch of pairs: images and label maps, the latter in float32."""
    tensors = [
        {key: value.float() for key, value in sample.items() if isinstance(value, torch.Tensor)} for sample in samples
    ]
    return default_collate(tensors)


def folder_pairs(
    folder: str | Path, sizes: Sequence[int] | None, test_pairs: int, seed: int, cases: int | None = None
) -> Pairs:
    """Read a folder of labelled 3D images; test cases are in no training pair.

    Args:
        folder: see :func:`read_pairs`.
        sizes: voxels to pad or crop to; ``None`` for what holds them all.
        test_pairs: how many pairs of test cases to measure.
        seed: of split and draw.
        cases: use only so many training cases.
    """
    images = read_pairs(folder)
    size = tuple(sizes) if sizes is not None else common_size(images)
    training, _, test = split_pairs(images, seed=seed)
    preprocessing = registration_preprocessing(images.channels, 3, size, label_values=images.label_values)
    if cases is not None:
        training = type(training)(training.cases[:cases])
    seen = PairDataset(training, preprocessing)
    unseen = PairDataset(test.sample(test_pairs, seed), preprocessing)
    measured = [unseen[index] for index in range(len(unseen))]
    return Pairs(seen, measured, 1 + len(images.labels), size, Path(folder).name)


def synthetic_pairs(size: int, training: int, test: int, seed: int, make: Callable[..., Any] = synthetic_pair) -> Pairs:
    """Make pairs with known displacement; their sizes are what VoxelMorph's network can halve four times.

    Args:
        size: of the first axis; the others are as long.
        training: how many pairs to train on.
        test: how many to measure.
        seed: of the pairs.
        make: see :func:`synthetic_pair`.
    """
    samples = []
    for index in range(training + test):
        pair = make((seed, index), 3, size)
        sample = {}
        for key, value in pair.items():
            tensor = torch.from_numpy(value).float()
            sample[key] = _cubic(tensor if key == "field" else tensor[None], size)
        samples.append(sample)
    classes = 1 + int(max(sample["moving_label"].max() for sample in samples))
    return Pairs(samples[:training], samples[training:], classes, (size,) * 3, f"synthetic pairs of {size}³")


def _cubic(tensor: torch.Tensor, size: int) -> torch.Tensor:
    # The axes differ in length; the middle of the longer ones is kept, and the shorter ones are padded.
    for axis in range(1, tensor.dim()):
        n = tensor.shape[axis]
        tensor = tensor.narrow(axis, max(0, (n - size) // 2), min(n, size))
        if n < size:
            shape = list(tensor.shape)
            shape[axis] = (size - n) // 2
            before = tensor.new_zeros(shape)
            shape[axis] = size - n - shape[axis]
            tensor = torch.cat([before, tensor, tensor.new_zeros(shape)], dim=axis)
    return tensor
