"""From files to what the network sees, and back to the input's grid."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch
from monai import transforms
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.utils import ensure_tuple_rep

from monai_hyperscale.data.intensity import NormalizeChannelsd
from monai_hyperscale.data.labels import ClassIndexd, index_type
from monai_hyperscale.data.reading import Each, ReadImaged
from monai_hyperscale.io import read_source, split_suffix, write_label
from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.io.labels import whole_numbers
from monai_hyperscale.io.seen import SeenImages


def check_seen(image: MetaTensor, seen: SeenImages, axes: int = 3, force: bool = False) -> MetaTensor:
    """Return an image (C, *sizes), or refuse one far outside of a network's training: :meth:`SeenImages.check`."""
    grid = grid_of(image)
    seen.check(str(image.meta.get("filename_or_obj") or "the image"), grid.sizes, grid.affine, axes, force)
    return image


class SeenSpacingd(transforms.MapTransform, transforms.InvertibleTransform):
    """MONAI's ``Spacingd`` to the voxel size of a training, for volumes whose own was not among it."""

    def __init__(
        self, keys: KeysCollection, seen: SeenImages, axes: int = 3, mode: Union[str, Sequence[str]] = "bilinear"
    ) -> None:
        super().__init__(keys)
        self.seen, self.axes = seen, axes
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.resample = transforms.SpatialResample()

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool = False) -> dict[Hashable, Any]:
        result = dict(data)
        for key, mode in self.key_iterator(result, self.mode):
            image = result[key]
            own = np.asarray(image.affine, dtype=np.float64)
            spacing = self.seen.spacing_for(own, self.axes)
            # As MONAI's Spacing, whose voxel size is the same for all images.
            affine = own if spacing is None else zoom_affine(own, spacing, diagonal=False)
            sizes, offset = compute_shape_offset(image.shape[1:], own, affine, scale_extent=False)
            affine[:3, 3] = offset[:3]
            options = {"mode": mode, "padding_mode": "border", "lazy": lazy}
            result[key] = self.resample(
                image, dst_affine=torch.as_tensor(affine), spatial_size=sizes.astype(int).tolist(), **options
            )
        return result

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with volumes on the grid that they came from."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.resample.inverse(result[key])
        return result


def segmentation_preprocessing(
    channels: Sequence[str],
    spatial_dims: int,
    spacing: Sequence[float] | None = None,
    keys: Sequence[str] = ("image", "label"),
    slices: bool = False,
    label_values: Sequence[int] | None = None,
    seen: SeenImages | None = None,
    force: bool = False,
    loaded: bool = False,
    intensity: transforms.Transform | None = None,
) -> transforms.Compose:
    """Return the deterministic transforms from file names to tensors; :func:`inversion` undoes their geometry.

    Volumes come out in RAS order, at ``spacing`` if it is given; 2D files in the order of the file. Everything is a
    ``MetaTensor``, channel first: images float32 (C, *sizes), labels (1, *sizes). An argument that does not fit the
    others is a ``ValueError``.

    Args:
        channels: name of each image channel; names such as ``CT [-200, 300]`` or ``red`` decide on the intensity scale.
        spatial_dims: of the network.
        spacing: voxel size in mm to resample to (linear; nearest for labels), one number per axis. ``None``: none.
        keys: the image, then the label if there is one.
        slices: a 2D network on axial slices of volumes, so that the files are 3D.
        label_values: value of each class in the label files: labels become class indices, and values that are no class
            an error. ``None``: labels stay as they are, whole numbers.
        seen: what the images of a trained network were like. Without ``spacing`` volumes of another voxel size are
            resampled to theirs, and images far outside are an error.
        force: these are taken all the same, with a warning in the log.
        loaded: images are loaded and checked already, see :func:`monai_hyperscale.io.read_image`.
        intensity: scales images, in place of :class:`NormalizeChannels`.

    Example:
        >>> [type(each).__name__ for each in segmentation_preprocessing(("MRI",), 3, spacing=(1, 1, 2)).transforms[2:5]]
        ['Orientationd', 'Spacingd', 'NormalizeChannelsd']
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if slices and spatial_dims != 2:
        raise ValueError(f"slices=True is for 2D networks, got spatial_dims={spatial_dims}.")
    volumes = spatial_dims == 3 or slices
    if spacing is not None and (not volumes or len(spacing) != 3 or min(spacing) <= 0):
        raise ValueError(f"spacing must be three positive numbers in mm, and is for volumes only; got {spacing!r}.")
    image, labels = keys[0], list(keys[1:])
    steps: list[transforms.Transform] = [] if loaded else [ReadImaged(image, len(channels))]
    if labels:
        steps.append(ReadImaged(labels, 0))
        if label_values is not None:
            # First, since resampling is in float32, which does not hold every label value, but every class index.
            steps.append(ClassIndexd(labels, label_values))
    if volumes:
        # labels=None: by the "space" that the reader notes, which is the default that MONAI is moving to.
        steps.append(transforms.Orientationd(keys, axcodes="RAS", labels=None))
    if seen is not None and not loaded:
        steps.append(Each([image], partial(check_seen, seen=seen, axes=spatial_dims, force=force)))
    modes = ("bilinear", *("nearest" for _ in labels))
    if spacing is not None:
        steps.append(transforms.Spacingd(keys, pixdim=tuple(spacing), mode=modes, padding_mode="border"))
    elif seen is not None and volumes:
        steps.append(SeenSpacingd(keys, seen, spatial_dims, modes))
    steps.append(intensity or NormalizeChannelsd(image, channels))
    steps.append(transforms.EnsureTyped([image], dtype=torch.float32))
    if labels:
        steps.append(
            transforms.EnsureTyped(labels, dtype=None if label_values is None else index_type(len(label_values)))
        )
    return transforms.Compose(steps)


def inversion(
    preprocessing: transforms.Compose, pred_key: str = "pred", image_key: str = "image"
) -> transforms.Compose:
    """Return the transform from logits to a label map on the grid of the input file.

    ``preprocessing`` is what :func:`segmentation_preprocessing` returned, and the image went through. The logits
    (K + 1, *sizes) become class indices (1, *original sizes), int32, with the file's metadata.

    Example:
        >>> undo = inversion(segmentation_preprocessing(("grey",), spatial_dims=2, keys=("image",)))
        >>> logits = torch.tensor([[[0.0, 3.0]], [[1.0, 2.0]]])
        >>> undo({"image": MetaTensor(torch.zeros(1, 1, 2)), "pred": logits})["pred"].tolist()
        [[[1, 0]]]
    """
    steps: list[transforms.Transform] = [transforms.AsDiscreted(pred_key, argmax=True)]
    if any(isinstance(transform, transforms.InvertibleTransform) for transform in preprocessing.flatten().transforms):
        steps.append(transforms.Invertd(pred_key, transform=preprocessing, orig_keys=image_key, nearest_interp=True))
    else:
        # 2D image files, whose name and other metadata Invertd would copy: MONAI warns of having nothing to invert.
        steps.append(transforms.Lambda(lambda data: {**data, pred_key: _described(data[pred_key], data[image_key])}))
    steps.append(transforms.EnsureTyped(pred_key, dtype=torch.int32))
    return transforms.Compose(steps)


def _described(label: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return MetaTensor(label, meta=copy.deepcopy(image.meta)) if isinstance(image, MetaTensor) else label


class SaveLabeld(transforms.MapTransform):
    """Write label maps with :func:`monai_hyperscale.io.write_label`, as ``segment`` on the command line does.

    They have the name, without channel number, and the header of the image's file, which their metadata name.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.key_iterator(dict(data)):
            source = read_source(data[key].meta["filename_or_obj"])
            name = data.get("name") or split_suffix(source.path)[0]
            label = torch.as_tensor(data[key])[0].cpu().numpy()
            suffix = ".png" if source.is_picture else ".nii.gz"
            write_label(whole_numbers(label, str(source.path)), self.output_dir / f"{name}{suffix}", source)
        return dict(data)
