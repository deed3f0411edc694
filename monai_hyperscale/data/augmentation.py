"""Random changes of training cases: crop or slice, pose, shape and scanner."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai import transforms
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms.utils import correct_crop_centers
from monai.utils import fall_back_tuple

_PROBABILITY = {
    "distortion": 0.5,
    "noise": 0.2,
    "blur": 0.2,
    "zoom": 0.1,
    "bias": 0.2,
    "gamma": 0.3,
    "contrast": 0.5,
    "brightness": 0.5,
}


def augmentation(
    spatial_dims: int,
    roi_size: Sequence[int] | int,
    keys: Sequence[str] = ("image", "label"),
    *,
    foreground: float | None = 0.5,
    soft_labels: int | None = None,
    flip: Sequence[int] = (),
    rotate: float = 0.26,
    scale: float = 0.15,
    translate: float = 3.0,
    distortion: float = 0.25,
    noise: float = 0.15,
    blur: tuple[float, float] = (0.25, 1.0),
    zoom: tuple[float, float] = (0.6, 1.0),
    bias: float = 0.15,
    gamma: tuple[float, float] = (0.7, 1.5),
    contrast: float = 0.2,
    brightness: float = 0.2,
    probability: Mapping[str, float] | None = None,
) -> transforms.Compose:
    """Return the augmentation of training cases; what comes out has ``roi_size`` whatever came in.

    Amounts suit images of unit spread (:func:`segmentation_preprocessing`). Rotation, zoom, shift, crop and padding are
    one resampling. Beyond the image its border goes on, in image and label alike. Tensors come out without metadata,
    labels as int64. An argument that does not fit the others is a ``ValueError``.

    Args:
        spatial_dims: 2 or 3.
        roi_size: voxels per axis of what comes out.
        keys: image and label key.
        foreground: images larger than ``roi_size`` (by more than what rotation and zoom need) are cropped at a random
            place, with this probability around a voxel of a random structure. ``None``: always the centre.
        soft_labels: number of classes, background included, to resample the label linearly, class by class: the label
            comes out as shares of the classes, float32 (classes, *sizes). Nearest-neighbour labels are ragged, which
            costs accuracy where structures are a few voxels thick. ``None``: nearest, class indices.
        flip: axes to flip at random, 0 first. Off by default: left and right are not alike in most anatomy.
        rotate: largest angle per axis, in radians.
        scale: largest relative change of size.
        translate: largest shift, in voxels.
        distortion: largest relative displacement of a node of the 4-cell distortion grid.
        noise: largest standard deviation of Gaussian noise.
        blur: range of the standard deviation of a Gaussian blur, in voxels.
        zoom: range of the factor of resolution that is lost and interpolated again.
        bias: largest coefficient of the polynomial bias field.
        gamma: range of the exponent of a contrast curve that keeps mean and spread.
        contrast: largest relative change of all intensities.
        brightness: largest shift of all intensities.
        probability: of each of the eight before, such as ``{"noise": 0.1}``, where it is not the usual one.

    Example:
        >>> case = {"image": torch.rand(1, 35, 51, 36), "label": torch.zeros(1, 35, 51, 36, dtype=torch.uint8)}
        >>> out = augmentation(3, (40, 56, 40))(case)
        >>> tuple(out["image"].shape), out["label"].dtype
        ((1, 40, 56, 40), torch.int64)
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    size = (roi_size,) * spatial_dims if isinstance(roi_size, int) else tuple(roi_size)
    if len(size) != spatial_dims or min(size) < 1:
        raise ValueError(f"roi_size must be {spatial_dims} numbers of at least 1, got {roi_size!r}.")
    prob = {**_PROBABILITY, **(probability or {})}
    if unknown := prob.keys() - _PROBABILITY:
        raise ValueError(f"probability is of {', '.join(_PROBABILITY)}, got {min(unknown)!r}.")
    image, label = keys
    crop: list[transforms.Transform] = []
    if foreground is not None:
        crop.append(RandForegroundCropd(keys, label, _with_margin(size, rotate, scale, translate), foreground))
    label_type = torch.int64 if soft_labels is None else torch.float32
    modes: Any = ("bilinear", "nearest" if soft_labels is None else "bilinear")
    shares = [] if soft_labels is None else [transforms.AsDiscreted(label, to_onehot=soft_labels)]
    return transforms.Compose(
        [
            *crop,
            *shares,
            transforms.RandAffined(
                keys,
                prob=1.0,
                spatial_size=size,
                rotate_range=rotate if spatial_dims == 2 else (rotate,) * 3,
                scale_range=(scale,) * spatial_dims,
                translate_range=(translate,) * spatial_dims,
                mode=modes,
                padding_mode="border",
            ),
            transforms.RandGridDistortiond(
                keys, num_cells=4, prob=prob["distortion"], distort_limit=distortion, mode=modes, padding_mode="border"
            ),
            *(transforms.RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in flip),
            transforms.RandGaussianNoised(image, prob=prob["noise"], std=noise),
            transforms.RandGaussianSmoothd(image, prob=prob["blur"], sigma_x=blur, sigma_y=blur, sigma_z=blur),
            transforms.RandSimulateLowResolutiond(
                image,
                prob=prob["zoom"],
                zoom_range=zoom,
                upsample_mode="trilinear" if spatial_dims == 3 else "bilinear",
            ),
            transforms.RandBiasFieldd(image, prob=prob["bias"], coeff_range=(-bias, bias)),
            transforms.RandAdjustContrastd(image, prob=prob["gamma"], gamma=gamma, retain_stats=True),
            transforms.RandScaleIntensityd(image, factors=contrast, prob=prob["contrast"]),
            transforms.RandShiftIntensityd(image, offsets=brightness, prob=prob["brightness"]),
            # int64 is what cross-entropy takes of class indices; RandAffined leaves float32.
            transforms.EnsureTyped(keys, dtype=(torch.float32, label_type), track_meta=False),
        ]
    )


def _with_margin(size: Sequence[int], rotate: float, scale: float, translate: float) -> tuple[int, ...]:
    """Return the box that a rotated, zoomed and shifted ``size`` stays within, for the most part.

    The angle about one axis is covered, about all at once it would need a cube of the diagonal; the rest is border.
    """
    longest = max(size)
    return tuple(
        math.ceil((1 + scale) * (n * math.cos(rotate) + min(longest, 2 * n) * math.sin(rotate) / 2) + 2 * translate)
        for n in size
    )


class RandForegroundCropd(transforms.Randomizable, transforms.MapTransform):
    """Crop boxes at random places, a share of them around a voxel of a randomly drawn class.

    Every class present is equally likely, so small structures are seen as often as large ones. MONAI's
    ``RandCropByLabelClassesd`` draws in the same way, but lists every voxel of every class, background included, as
    int64 on each call: gigabytes for a CT volume.

    All ``keys`` are cropped to the same box, drawn from the class indices (1, *sizes) under ``label_key``: around a
    foreground voxel with the probability ``foreground`` in [0, 1], else anywhere. ``spatial_size`` is voxels per axis;
    −1 and more than the image has mean the whole axis.

    Example:
        >>> label = torch.eye(20, dtype=torch.uint8)[None]
        >>> RandForegroundCropd("label", "label", (8, -1), foreground=1.0)({"label": label})["label"].shape
        torch.Size([1, 8, 20])
    """

    def __init__(
        self, keys: KeysCollection, label_key: str, spatial_size: Sequence[int], foreground: float = 0.5
    ) -> None:
        transforms.MapTransform.__init__(self, keys)
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
        label, result = data[self.label_key], dict(data)
        box = fall_back_tuple(self.spatial_size, label.shape[1:])
        if any(n > m for n, m in zip(label.shape[1:], box, strict=True)):
            self.randomize(label)
            crop = transforms.SpatialCrop(roi_center=self.centre, roi_size=box)
            for key in self.key_iterator(result):
                result[key] = crop(result[key])
        return result


def slice_sampling(keys: Sequence[str] = ("image", "label"), foreground: float = 0.7) -> transforms.Compose:
    """Return a transform from volumes (C, H, W, D) to random axial slices (C, H, W), for 2D networks.

    Axial is the last axis, since :func:`segmentation_preprocessing` brings volumes to RAS. ``foreground`` is the share
    of slices that show at least one voxel of a structure, all structures alike.

    Example:
        >>> volume = {"image": torch.zeros(1, 9, 8, 7), "label": torch.zeros(1, 9, 8, 7, dtype=torch.uint8)}
        >>> slice_sampling()(volume)["image"].shape
        torch.Size([1, 9, 8])
    """
    crop = RandForegroundCropd(keys, keys[-1], spatial_size=(-1, -1, 1), foreground=foreground)
    return transforms.Compose([crop, transforms.SqueezeDimd(keys, dim=-1)])
