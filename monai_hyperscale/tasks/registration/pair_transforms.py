"""From image files to what a registration network sees, one size for all, and the augmentation of pairs."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAffined,
    RandFlipd,
    Randomizable,
    RandomizableTransform,
    ResizeWithPadOrCropd,
    Transform,
)

from monai_hyperscale.data.datalist import spread
from monai_hyperscale.data.headers import sizes_at
from monai_hyperscale.data.intensity import UnitIntensityd
from monai_hyperscale.data.labels import index_type
from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.tasks.registration.pairs import RegistrationImages

__all__ = ["PairSlice", "common_size", "pair_augmentation", "registration_preprocessing"]

_LOGGER = logging.getLogger(__name__)

# Largest size per axis by default: what trains in reasonable time and memory.
_LARGEST = {2: 256, 3: 128}
_MULTIPLE = 8
# Of a pair: what changes its pose with it, and in which way it is interpolated.
_IMAGES, _LABELS = ("moving", "fixed"), ("moving_label", "fixed_label")
_KEYS = (*_IMAGES, *_LABELS)


def registration_preprocessing(
    channels: Sequence[str],
    spatial_dims: int,
    sizes: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    slices: bool = False,
    label_values: Sequence[int] = (),
    seen: SeenImages | None = None,
) -> Compose:
    """Return the deterministic transforms of one case, from file names to tensors of one size.

    Volumes come out in RAS order, at ``spacing`` if it is given; 2D files in the order of the file. Intensities go
    through :class:`UnitIntensity`; then the centre is padded with 0, or cropped, to ``sizes``. Plain tensors, channel
    first: images float32 (C, *sizes), labels (1, *sizes) in the type of :func:`index_type`.

    Args:
        channels: name of each image channel; with three, 2D files are read as colour.
        spatial_dims: 2 or 3, of the network.
        sizes: voxels of what comes out, one number per axis of the files; ``None`` keeps each image's own.
        spacing: voxel size in mm to resample volumes to (linear; nearest for labels). ``None``: none.
        slices: a 2D network on axial slices of volumes, so that the files are 3D.
        label_values: value of each class in the label files: labels become class indices. Empty for no labels.
        seen: what the images of a trained network were like: without ``spacing`` volumes of other voxels are resampled
            to those, and what lies far outside is told in the log.

    Raises:
        ValueError: if an argument does not fit the others.

    Example:
        >>> [type(each).__name__ for each in registration_preprocessing(("MRI",), 3, sizes=(48, 64, 48)).transforms]
        ['ReadImaged', 'Orientationd', 'UnitIntensityd', 'ResizeWithPadOrCropd', 'EnsureTyped']
    """
    file_dims = 3 if spatial_dims == 3 or slices else 2
    if sizes is not None and (len(sizes) != file_dims or min(sizes) < 1):
        raise ValueError(f"sizes must be {file_dims} numbers of at least 1, as the files have axes; got {sizes!r}.")
    keys = ["image", "label"] if label_values else ["image"]
    loading = segmentation_preprocessing(
        channels,
        spatial_dims,
        spacing,
        keys,
        slices,
        label_values=label_values or None,
        seen=seen,
        force=True,
        intensity=UnitIntensityd("image"),
    )
    transforms = [part for part in loading.transforms if not isinstance(part, EnsureTyped)]
    if sizes is not None:
        transforms.append(ResizeWithPadOrCropd(keys, tuple(sizes)))
    # Nothing is inverted, and what follows is faster on tensors without metadata.
    types = (torch.float32, index_type(len(label_values)))
    transforms.append(EnsureTyped(keys, dtype=types[: len(keys)], track_meta=False))
    return Compose(transforms)


def common_size(
    images: RegistrationImages, spacing: Sequence[float] | None = None, largest: int | None = None
) -> tuple[int, ...]:
    """Return a size that holds every image, in RAS axes: up to a multiple of 8, and no more than ``largest``.

    Args:
        images: whose headers are read; those of 500 cases, evenly spread, if there are more.
        spacing: voxel size in mm, in RAS axes, that the images will be resampled to.
        largest: voxels per axis; ``None`` for 256 in 2D and 128 in 3D. What is larger is cropped, and the log says so.
    """
    sizes = sizes_at(spread(images.cases, 500), spacing)
    needed = np.ceil(np.max(sizes, axis=0) / _MULTIPLE).astype(int) * _MULTIPLE
    bound = largest if largest is not None else _LARGEST[len(needed)]
    if needed.max() > bound:
        _LOGGER.warning(
            "images of up to %s voxels are cropped to %d per axis; give --sizes for another size, or --spacing to "
            "resample volumes.",
            "x".join(str(int(n)) for n in np.max(sizes, axis=0)),
            bound,
        )
    return tuple(int(n) for n in np.minimum(needed, bound))


def pair_augmentation(
    spatial_dims: int,
    flip: Sequence[int] = (),
    rotate: float = 0.0,
    scale: float = 0.0,
    translate: float = 0.0,
    swap: float = 0.0,
    slices: bool = False,
) -> Compose:
    """Return the augmentation of pairs: one random change of pose for both images and their labels.

    The known displacement of a pair is left out, since it holds no longer. Axes are those of the network.

    Args:
        spatial_dims: 2 or 3, of the network.
        flip: axes to flip at random, 0 first.
        rotate: largest angle per axis, in radians.
        scale: largest relative change of size.
        translate: largest shift, in voxels.
        swap: probability that moving and fixed image change places, which makes twice as many of listed pairs.
        slices: take a random axial slice of volumes first, see :class:`PairSlice`.

    Raises:
        ValueError: if ``spatial_dims`` is not 2 or 3, an axis to flip does not exist, or ``swap`` is no probability.

    Example:
        >>> pair = {"moving": torch.rand(1, 9, 7), "fixed": torch.rand(1, 9, 7), "field": torch.zeros(2, 9, 7)}
        >>> list(pair_augmentation(2, flip=(0,), rotate=0.2)(pair))
        ['moving', 'fixed']
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if any(axis not in range(spatial_dims) for axis in flip):
        raise ValueError(f"flip must name axes of 0 to {spatial_dims - 1}, got {tuple(flip)}.")
    if not 0 <= swap <= 1:
        raise ValueError(f"swap must be a probability in [0, 1], got {swap!r}.")
    transforms: list[Transform] = [PairSlice(random=True)] if slices else []
    if swap > 0:
        transforms.append(_RandSwap(swap))
    pose: list[Transform] = [RandFlipd(_KEYS, prob=0.5, spatial_axis=axis, allow_missing_keys=True) for axis in flip]
    if rotate or scale or translate:
        pose.append(
            RandAffined(
                _KEYS,
                prob=1.0,
                rotate_range=rotate if spatial_dims == 2 else (rotate,) * 3,
                scale_range=(scale,) * spatial_dims,
                translate_range=(translate,) * spatial_dims,
                mode=("bilinear", "bilinear", "nearest", "nearest"),
                padding_mode="border",
                allow_missing_keys=True,
            )
        )
    return Compose([*transforms, _Pose(pose)] if pose else transforms)


class _Pose(Randomizable, Transform):
    """Random changes of pose, after which everything has the type that it had: MONAI makes float32 of all."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.pose = Compose([*transforms, EnsureTyped(_KEYS, track_meta=False, allow_missing_keys=True)])

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> _Pose:
        self.pose.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        moved = self.pose(data)
        return {key: moved[key].to(data[key].dtype) if key in _KEYS else moved[key] for key in moved if key != "field"}


class _RandSwap(RandomizableTransform):
    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        other = dict(zip(_KEYS, (*_IMAGES[::-1], *_LABELS[::-1]), strict=True))
        return {other.get(str(key), key): value for key, value in data.items() if key != "field"}


class PairSlice(Randomizable, Transform):
    """Take the same axial slice (last axis) of everything in a pair of volumes, for 2D networks.

    A known displacement stays where it is zero along that axis; else there is none between two slices.

    Args:
        random: a random slice of those where both images show something; else the one with most labelled voxels in
            the fixed image, or the middle one where there are no labels.

    Example:
        >>> pair = {"moving": torch.rand(1, 9, 8, 7), "fixed": torch.rand(1, 9, 8, 7), "field": torch.zeros(3, 9, 8, 7)}
        >>> {key: tuple(value.shape) for key, value in PairSlice()(pair).items()}
        {'moving': (1, 9, 8), 'fixed': (1, 9, 8), 'field': (2, 9, 8)}
    """

    def __init__(self, random: bool = False) -> None:
        self.random = random

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with 2D tensors."""
        index = self._random_slice(data) if self.random else _shown_slice(data)
        result = {key: value[..., index] if key in _KEYS else value for key, value in data.items()}
        if "field" in result:
            flat = result.pop("field")[..., index]
            if not flat[-1].any():
                result["field"] = flat[:-1]
        return result

    def _random_slice(self, data: Mapping[Hashable, Any]) -> int:
        shown = [torch.as_tensor(data[key]).flatten(0, 2).any(dim=0) for key in _IMAGES]
        places = (shown[0] & shown[1]).nonzero().flatten().tolist() or list(range(len(shown[0])))
        return int(places[self.R.randint(len(places))])


def _shown_slice(data: Mapping[Hashable, Any]) -> int:
    if "fixed_label" in data:
        labelled = (data["fixed_label"] > 0).flatten(0, 2).sum(dim=0)
        if labelled.any():
            return int(labelled.argmax())
    return int(data["fixed"].shape[-1]) // 2
