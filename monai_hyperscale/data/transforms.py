"""From files to what the network sees, and back to the input's grid."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureTyped,
    Invertd,
    InvertibleTransform,
    MapTransform,
    Orientationd,
    Spacingd,
    Transform,
)

from monai_hyperscale.data.intensity import NormalizeChannelsd
from monai_hyperscale.data.labels import ClassIndexd, index_type
from monai_hyperscale.data.reading import ReadImaged
from monai_hyperscale.data.seen import CheckSeend, SeenSpacingd
from monai_hyperscale.io import read_source, split_suffix, write_label
from monai_hyperscale.io.labels import whole_numbers
from monai_hyperscale.io.seen import SeenImages

__all__ = ["SaveLabeld", "inversion", "segmentation_preprocessing"]


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
    intensity: Transform | None = None,
) -> Compose:
    """Return the deterministic transforms from file names to tensors; :func:`inversion` undoes their geometry.

    Volumes come out in RAS order, at ``spacing`` if it is given; 2D files in the order of the file. Everything is a
    ``MetaTensor``, channel first: images float32 (C, *sizes), labels (1, *sizes).

    Args:
        channels: name of each image channel; names such as ``CT [-200, 300]`` or ``red`` decide on the intensity scale.
        spatial_dims: of the network.
        spacing: voxel size in mm to resample to (linear; nearest for labels), one number per axis. ``None``: none.
        keys: the image, then the label if there is one.
        slices: a 2D network on axial slices of volumes, so that the files are 3D.
        label_values: value of each class in the label files, such as ``SegmentationDataset.label_values``: labels
            become class indices, see :func:`index_type`, and values that are no class an error. ``None``: labels stay
            as they are, whole numbers.
        seen: what the images of a trained network were like. Without ``spacing`` volumes of another voxel size are
            resampled to theirs, and images far outside are an error.
        force: these are taken all the same, with a warning in the log.
        loaded: images are loaded and checked already, see :func:`monai_hyperscale.io.read_image`.
        intensity: scales images, in place of :class:`NormalizeChannels`.

    Raises:
        ValueError: if an argument does not fit the others.

    Example:
        >>> for transform in segmentation_preprocessing(("MRI",), spatial_dims=3, spacing=(1, 1, 2)).transforms[2:5]:
        ...     print(type(transform).__name__)
        Orientationd
        Spacingd
        NormalizeChannelsd
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims!r}.")
    if slices and spatial_dims != 2:
        raise ValueError(f"slices=True is for 2D networks, got spatial_dims={spatial_dims}.")
    volumes = spatial_dims == 3 or slices
    if spacing is not None and (not volumes or len(spacing) != 3 or min(spacing) <= 0):
        raise ValueError(f"spacing must be three positive numbers in mm, and is for volumes only; got {spacing!r}.")
    image, labels = keys[0], list(keys[1:])
    transforms: list[Transform] = [] if loaded else [ReadImaged(image, len(channels))]
    if labels:
        transforms.append(ReadImaged(labels, 0))
        if label_values is not None:
            # First, since resampling is in float32, which does not hold every label value, but every class index.
            transforms.append(ClassIndexd(labels, label_values))
    if volumes:
        # labels=None: by the "space" that the reader notes, which is the default that MONAI is moving to.
        transforms.append(Orientationd(keys, axcodes="RAS", labels=None))
    if seen is not None and not loaded:
        transforms.append(CheckSeend([image], seen, spatial_dims, force))
    modes = ("bilinear", *("nearest" for _ in labels))
    if spacing is not None:
        transforms.append(Spacingd(keys, pixdim=tuple(spacing), mode=modes, padding_mode="border"))
    elif seen is not None and volumes:
        transforms.append(SeenSpacingd(keys, seen, spatial_dims, modes))
    transforms.append(intensity or NormalizeChannelsd(image, channels))
    transforms.append(EnsureTyped([image], dtype=torch.float32))
    if labels:
        transforms.append(EnsureTyped(labels, dtype=None if label_values is None else index_type(len(label_values))))
    return Compose(transforms)


def inversion(preprocessing: Compose, pred_key: str = "pred", image_key: str = "image") -> Compose:
    """Return the transform from logits to a label map on the grid of the input file.

    Args:
        preprocessing: what :func:`segmentation_preprocessing` returned, and the image went through.
        pred_key: logits (K + 1, *sizes); becomes class indices (1, *original sizes), int32, with the metadata of
            the input file, affine among them.
        image_key: the preprocessed image, whose metadata say what was done to it.

    Example:
        >>> undo = inversion(segmentation_preprocessing(("grey",), spatial_dims=2, keys=("image",)))
        >>> logits = torch.tensor([[[0.0, 3.0]], [[1.0, 2.0]]])
        >>> undo({"image": MetaTensor(torch.zeros(1, 1, 2)), "pred": logits})["pred"].tolist()
        [[[1, 0]]]
    """
    transforms: list[Transform] = [AsDiscreted(pred_key, argmax=True)]
    if any(isinstance(transform, InvertibleTransform) for transform in preprocessing.flatten().transforms):
        transforms.append(Invertd(pred_key, transform=preprocessing, orig_keys=image_key, nearest_interp=True))
    else:
        # 2D image files: MONAI warns of an inversion that has nothing to invert.
        transforms.append(_CopyMetadatad(pred_key, image_key))
    transforms.append(EnsureTyped(pred_key, dtype=torch.int32))
    return Compose(transforms)


class _CopyMetadatad(MapTransform):
    """Give ``key`` the metadata of ``source``, file name among them, as ``Invertd`` does."""

    def __init__(self, key: str, source: str) -> None:
        super().__init__(key)
        self.source = source

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            if isinstance(result[self.source], MetaTensor):
                result[key] = MetaTensor(torch.as_tensor(result[key]), meta=copy.deepcopy(result[self.source].meta))
        return result


class SaveLabeld(MapTransform):
    """Write label maps with :func:`monai_hyperscale.io.write_label`, as ``segment`` on the command line does.

    The image's file is the one that the label map's metadata name (``filename_or_obj``), the first of several channel
    files: its header is kept. Files are called as the case, which is the data's ``name``, else as the image's file;
    ``.nii.gz``, or ``.png`` for 2D image files. A file that is there is replaced.

    Args:
        keys: of label maps (1, *sizes) on the grid of the file.
        output_dir: where the files go.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the label maps under ``keys``; return the data as they are."""
        for key in self.key_iterator(dict(data)):
            source = read_source(data[key].meta["filename_or_obj"])
            name = data.get("name") or split_suffix(source.path)[0]
            label = torch.as_tensor(data[key])[0].cpu().numpy()
            suffix = ".png" if source.is_picture else ".nii.gz"
            write_label(whole_numbers(label, str(source.path)), self.output_dir / f"{name}{suffix}", source)
        return dict(data)
