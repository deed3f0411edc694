"""From image files to what a registration network sees, one size for all, and the augmentation of pairs."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import (
    Compose,
    EnsureTyped,
    MapTransform,
    Orientationd,
    RandAffined,
    RandFlipd,
    Randomizable,
    RandomizableTransform,
    ResizeWithPadOrCropd,
    Spacingd,
    Transform,
)
from nibabel.orientations import io_orientation

from monai_hyperscale.data.headers import read_header
from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.data.labels import ClassIndexd, index_type
from monai_hyperscale.data.transforms import file_loader
from monai_hyperscale.tasks.registration.pairs import RegistrationImages

__all__ = [
    "PairSlice",
    "UnitIntensity",
    "UnitIntensityd",
    "common_size",
    "pair_augmentation",
    "registration_preprocessing",
]

_LOGGER = logging.getLogger(__name__)

# Largest size per axis by default: what trains in reasonable time and memory.
_LARGEST = {2: 256, 3: 128}
_MULTIPLE = 8
IMAGE_KEYS = ("moving", "fixed")
LABEL_KEYS = ("moving_label", "fixed_label")


class UnitIntensityd(MapTransform):
    """Dictionary form of :class:`UnitIntensity`.

    Args:
        keys: image keys.
        lower: percentile that becomes 0.
        upper: percentile that becomes 1.
        allow_missing_keys: leave out keys that are not there.
    """

    def __init__(
        self, keys: KeysCollection, lower: float = 0.5, upper: float = 99.5, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale = UnitIntensity(lower, upper)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with scaled images under ``keys``."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.scale(result[key])
        return result


def registration_preprocessing(
    channels: Sequence[str],
    spatial_dims: int,
    sizes: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    slices: bool = False,
    label_values: Sequence[int] = (),
) -> Compose:
    """Return the deterministic transforms of one case, from file names to tensors of one size.

    Volumes come out in RAS order, at ``spacing`` if it is given; 2D files in the order of the file. Intensities are
    clipped to their 0.5 % and 99.5 % percentiles and scaled to [0, 1]; then the centre is padded with 0, or cropped, to
    ``sizes``. Plain tensors, channel first: images float32 (C, *sizes), labels (1, *sizes) in the
    type of :func:`index_type`.

    Args:
        channels: name of each image channel; with three, 2D files are read as colour.
        spatial_dims: 2 or 3, of the network.
        sizes: voxels of what comes out, one number per axis of the files; ``None`` keeps each image's own.
        spacing: voxel size in mm to resample volumes to (linear; nearest for labels). ``None``: none.
        slices: a 2D network on axial slices of volumes, so that the files are 3D.
        label_values: value of each class in the label files: labels become class indices. Empty for no labels.

    Raises:
        ValueError: if an argument does not fit the others.

    Example:
        >>> for transform in registration_preprocessing(("MRI",), 3, sizes=(48, 64, 48)).transforms:
        ...     print(type(transform).__name__)
        LoadImaged
        Orientationd
        UnitIntensityd
        ResizeWithPadOrCropd
        EnsureTyped
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if slices and spatial_dims != 2:
        raise ValueError(f"slices=True is for 2D networks, got spatial_dims={spatial_dims}.")
    volumes = spatial_dims == 3 or slices
    if spacing is not None and (not volumes or len(spacing) != 3 or min(spacing) <= 0):
        raise ValueError(f"spacing must be three positive numbers in mm, and is for volumes only; got {spacing!r}.")
    file_dims = 3 if volumes else 2
    if sizes is not None and (len(sizes) != file_dims or min(sizes) < 1):
        raise ValueError(f"sizes must be {file_dims} numbers of at least 1, as the files have axes; got {sizes!r}.")
    labels = ["label"] if label_values else []
    keys = ["image", *labels]
    transforms: list[Transform] = [file_loader(["image"], 3 if len(channels) == 3 else 1)]
    if labels:
        # Classes first, since resampling is in float32, which does not hold every label value.
        transforms += [file_loader(labels, 0), ClassIndexd(labels, label_values)]
    if volumes:
        transforms.append(Orientationd(keys, axcodes="RAS", labels=None))
    if spacing is not None:
        modes = ("bilinear", "nearest")[: len(keys)]
        transforms.append(Spacingd(keys, pixdim=tuple(spacing), mode=modes, padding_mode="border"))
    transforms.append(UnitIntensityd("image"))
    if sizes is not None:
        transforms.append(ResizeWithPadOrCropd(keys, tuple(sizes)))
    # Nothing is inverted, and what follows is faster on tensors without metadata.
    types = (torch.float32, index_type(len(label_values)))
    transforms.append(EnsureTyped(keys, dtype=types[: len(keys)], track_meta=False))
    return Compose(transforms)


def common_size(
    images: RegistrationImages, spacing: Sequence[float] | None = None, largest: int | None = None, limit: int = 500
) -> tuple[int, ...]:
    """Return a size that holds every image, in RAS axes: up to a multiple of 8, and no more than ``largest``.

    Args:
        images: whose headers are read.
        spacing: voxel size in mm, in RAS axes, that the images will be resampled to.
        largest: voxels per axis; ``None`` for 256 in 2D and 128 in 3D. What is larger is cropped, and the log says so.
        limit: how many headers to read, evenly spread over the cases.
    """
    sizes = []
    count = min(limit, len(images.cases))
    for index in np.linspace(0, len(images.cases) - 1, count).round().astype(int):
        image = images.cases[index]["image"]
        header = read_header(image if isinstance(image, str) else image[0])
        extent = np.asarray(header.sizes, dtype=float)
        if header.affine is not None and len(extent) == 3:
            axes = io_orientation(header.affine)[:, 0].astype(int)
            if spacing is not None and header.spacing is not None:
                extent = extent * header.spacing / np.asarray(spacing)[axes]
            extent = extent[np.argsort(axes)]
        sizes.append(extent)
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
        >>> {key: tuple(value.shape) for key, value in pair_augmentation(2, flip=(0,), rotate=0.2)(pair).items()}
        {'moving': (1, 9, 7), 'fixed': (1, 9, 7)}
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if any(axis not in range(spatial_dims) for axis in flip):
        raise ValueError(f"flip must name axes of 0 to {spatial_dims - 1}, got {tuple(flip)}.")
    if not 0 <= swap <= 1:
        raise ValueError(f"swap must be a probability in [0, 1], got {swap!r}.")
    keys = (*IMAGE_KEYS, *LABEL_KEYS)
    transforms: list[Transform] = [PairSlice(random=True)] if slices else []
    if swap > 0:
        transforms.append(_RandSwap(swap))
    pose: list[Transform] = [RandFlipd(keys, prob=0.5, spatial_axis=axis, allow_missing_keys=True) for axis in flip]
    if rotate or scale or translate:
        modes: Any = ("bilinear",) * len(IMAGE_KEYS) + ("nearest",) * len(LABEL_KEYS)
        pose.append(
            RandAffined(
                keys,
                prob=1.0,
                rotate_range=rotate if spatial_dims == 2 else (rotate,) * 3,
                scale_range=(scale,) * spatial_dims,
                translate_range=(translate,) * spatial_dims,
                mode=modes,
                padding_mode="border",
                allow_missing_keys=True,
            )
        )
    if pose:
        pose.append(EnsureTyped(keys, track_meta=False, allow_missing_keys=True))
        transforms += [_Pose(pose), _WithoutField()]
    return Compose(transforms)


class _Pose(Randomizable, Transform):
    """Random changes of pose, after which everything has the type that it had: MONAI makes float32 of all."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.pose = Compose(transforms)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> _Pose:
        self.pose.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        moved = self.pose(data)
        return {
            key: moved[key].to(data[key].dtype) if key in (*IMAGE_KEYS, *LABEL_KEYS) else moved[key] for key in moved
        }


class _RandSwap(RandomizableTransform):
    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        other = dict(zip((*IMAGE_KEYS, *LABEL_KEYS), (*IMAGE_KEYS[::-1], *LABEL_KEYS[::-1]), strict=True))
        return {other.get(str(key), key): value for key, value in data.items() if key != "field"}


class _WithoutField(Transform):
    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {key: value for key, value in data.items() if key != "field"}


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
        self.index = 0

    def randomize(self, data: Any) -> None:
        """Draw a slice of the pair ``data``."""
        shown = [torch.as_tensor(data[key]).flatten(0, 2).any(dim=0) for key in IMAGE_KEYS]
        places = (shown[0] & shown[1]).nonzero().flatten().tolist() or list(range(len(shown[0])))
        self.index = int(places[self.R.randint(len(places))])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with 2D tensors."""
        if self.random:
            self.randomize(data)
        index = self.index if self.random else _shown_slice(data)
        result = dict(data)
        for key in (*IMAGE_KEYS, *LABEL_KEYS):
            if key in result:
                result[key] = result[key][..., index]
        if "field" in result:
            flat = result.pop("field")[..., index]
            if not flat[-1].any():
                result["field"] = flat[:-1]
        return result


def _shown_slice(data: Mapping[Hashable, Any]) -> int:
    depth = int(data["fixed"].shape[-1])
    if "fixed_label" in data:
        labelled = (data["fixed_label"] > 0).flatten(0, 2).sum(dim=0)
        if labelled.any():
            return int(labelled.argmax())
    return depth // 2
