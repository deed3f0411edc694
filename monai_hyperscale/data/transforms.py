"""From files to what the network sees, and back to the input's grid."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import PathLike
from monai.data import ImageReader, MetaTensor, PILReader
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureTyped,
    Invertd,
    InvertibleTransform,
    LoadImaged,
    MapTransform,
    Orientationd,
    Spacingd,
    Transform,
)
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from PIL import Image, UnidentifiedImageError

from monai_hyperscale.data.headers import IMAGE_SUFFIXES, VOLUME_SUFFIXES, file_suffix
from monai_hyperscale.data.intensity import intensity_transform
from monai_hyperscale.data.labels import ClassIndexd, index_type
from monai_hyperscale.data.seen import CheckSeend, SeenSpacingd
from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.images import ImageSource, check_same_grid
from monai_hyperscale.io.labels import torch_integers, whole_numbers
from monai_hyperscale.io.nifti import load_nibabel
from monai_hyperscale.io.pictures import GREY_MODES, single_channel
from monai_hyperscale.io.seen import SeenImages

__all__ = ["ImageFileReader", "VolumeReader", "file_loader", "inversion", "segmentation_preprocessing"]


class ImageFileReader(PILReader):
    """Read 2D image files as grey or RGB, whatever variant the file is: palette, alpha, 1 bit, TIFF.

    MONAI's ``PILReader`` leaves alpha channels in, takes palette indices for intensities and does not know TIFF.
    Axes come out as (width, height), as with ``PILReader``: transpose before writing an array back with PIL.

    Args:
        channels: 1 or 3 channels that an image must have, or 0 for label maps. Grey files become red = green = blue
            where 3 are asked for. Several files at once are one grey channel each.

    Example:
        >>> reader = ImageFileReader(channels=3)
        >>> reader.verify_suffix("slide.TIF"), reader.verify_suffix("scan.nii.gz")
        (True, False)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return whether all files are 2D image files."""
        return all(file_suffix(name) in IMAGE_SUFFIXES for name in ensure_tuple(filename))

    def read(self, data: Any, **kwargs: Any) -> Any:
        """Open one file, or one file per channel.

        Args:
            data: path or paths.
            kwargs: for ``PIL.Image.open``.

        Raises:
            ImageError: if a file is damaged, or in colour where a grey one is needed.
        """
        paths = ensure_tuple(data)
        channels = self.channels if len(paths) == 1 else min(self.channels, 1)
        images = []
        for path in paths:
            try:
                with Image.open(path, **kwargs) as image:
                    image.load()
                    images.append(_as_channels(image, channels, str(path)))
            except (UnidentifiedImageError, OSError, SyntaxError) as error:
                raise ImageError(f"{path} cannot be read as an image ({error}); replace the file.") from error
        return images if len(images) > 1 else images[0]


def _as_channels(image: Image.Image, channels: int, name: str) -> Image.Image:
    if channels == 0:
        return single_channel(image, name)
    if channels == 3:
        return image.convert("RGB")
    if image.mode not in GREY_MODES:
        raise ImageError(
            f"{name} is a colour image ({image.mode}), but one grey channel is needed; convert it to grey."
        )
    if image.mode in ("LA", "La"):
        return image.getchannel(0)
    return image.convert("L") if image.mode == "1" else image


class VolumeReader(ImageReader):
    """Read NIfTI files as inference does: in millimetres whatever their unit, and label maps as whole numbers.

    Args:
        labels: whether files are label maps, by the rule of :func:`monai_hyperscale.io.read_label`; else float32.

    Example:
        >>> VolumeReader().verify_suffix("scan.nii.gz"), VolumeReader().verify_suffix("slide.png")
        (True, False)
    """

    def __init__(self, labels: bool = False) -> None:
        self.labels = labels

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Return whether all files are NIfTI files."""
        return all(file_suffix(name) in VOLUME_SUFFIXES for name in ensure_tuple(filename))

    def read(self, data: Any, **kwargs: Any) -> Any:
        """Read one file, or one file per channel.

        Args:
            data: path or paths.
            kwargs: none are known.

        Raises:
            ImageError: if a file is damaged, holds no label map where one is asked for, or the files' grids differ.
        """
        loaded, sources = [], []
        for path in map(Path, ensure_tuple(data)):
            voxels, affine, header, _ = load_nibabel(path, labels=self.labels)
            loaded.append(torch_integers(whole_numbers(voxels, str(path)), str(path)) if self.labels else voxels)
            sources.append(ImageSource(path, voxels.shape[:3], affine, header))
        check_same_grid(sources)
        return loaded, sources[0]

    def get_data(self, img: Any) -> tuple[np.ndarray, dict]:
        """Return the voxels and the metadata that :class:`monai.transforms.LoadImage` asks for."""
        loaded, source = img
        one_channel = loaded[0].ndim == len(source.shape)
        meta = {
            MetaKeys.AFFINE: source.affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: source.affine.copy(),
            MetaKeys.SPATIAL_SHAPE: np.asarray(source.shape),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if one_channel else -1,
        }
        if len(loaded) == 1:
            return loaded[0], meta
        if one_channel:
            meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = 0
        return (np.stack(loaded) if one_channel else np.concatenate(loaded, axis=-1)), meta


def segmentation_preprocessing(
    channels: Sequence[str],
    spatial_dims: int,
    spacing: Sequence[float] | None = None,
    keys: Sequence[str] = ("image", "label"),
    slices: bool = False,
    label_values: Sequence[int] | None = None,
    seen: SeenImages | None = None,
    force: bool = False,
) -> Compose:
    """Return the deterministic transforms from file names to tensors; :func:`inversion` undoes their geometry.

    Volumes come out in RAS order, at ``spacing`` if it is given; 2D files in the order of the file. Intensities are
    scaled by :class:`monai_hyperscale.data.intensity.NormalizeChannels`. Everything is a ``MetaTensor``, channel first:
    images float32 (C, *sizes), labels (1, *sizes).

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
    if spacing is not None and not volumes:
        raise ValueError("spacing is for volumes; 2D image files have no voxel size, so leave it out.")
    if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        raise ValueError(f"spacing must be three positive numbers in mm, got {spacing!r}.")
    image, labels = keys[0], list(keys[1:])
    transforms: list[Transform] = [file_loader([image], 3 if len(channels) == 3 else 1)]
    if labels:
        transforms.append(file_loader(labels, 0))
        if label_values is not None:
            # First, since resampling is in float32, which does not hold every label value, but every class index.
            transforms.append(ClassIndexd(labels, label_values))
    if volumes:
        # labels=None: by the "space" that the reader notes, which is the default that MONAI is moving to.
        transforms.append(Orientationd(keys, axcodes="RAS", labels=None))
    if seen is not None:
        transforms.append(CheckSeend([image], seen, spatial_dims, force))
    modes = ("bilinear", *("nearest" for _ in labels))
    if spacing is not None:
        transforms.append(Spacingd(keys, pixdim=tuple(spacing), mode=modes, padding_mode="border"))
    elif seen is not None and volumes:
        transforms.append(SeenSpacingd(keys, seen, spatial_dims, modes))
    transforms.append(intensity_transform(channels, image))
    transforms.append(EnsureTyped([image], dtype=torch.float32))
    if labels:
        transforms.append(EnsureTyped(labels, dtype=None if label_values is None else index_type(len(label_values))))
    return Compose(transforms)


def file_loader(keys: Sequence[str], channels: int) -> LoadImaged:
    """Return the transform that loads NIfTI and 2D image files: images as float32 (C, *sizes), labels as whole numbers.

    Args:
        keys: of the file names.
        channels: of 2D image files, see :class:`ImageFileReader`; 0 for label maps.
    """
    labels = channels == 0
    loader = LoadImaged(keys, ensure_channel_first=True, dtype=None if labels else np.float32)
    # Registered last, asked first, and by suffix: an unreadable file raises its own error, not that of all readers.
    loader.register(VolumeReader(labels))
    loader.register(ImageFileReader(channels))
    return loader


def inversion(preprocessing: Compose, pred_key: str = "pred", image_key: str = "image") -> Compose:
    """Return the transform from logits to a label map on the grid of the input file.

    Args:
        preprocessing: what :func:`segmentation_preprocessing` returned, and the image went through.
        pred_key: logits (K + 1, *sizes); becomes class indices (1, *original sizes), int32, with the metadata of
            the input file, affine among them.
        image_key: the preprocessed image, whose metadata say what was done to it.

    Example:
        >>> from monai.data import MetaTensor
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
        """Return the data with metadata under the key."""
        result = dict(data)
        for key in self.key_iterator(result):
            if isinstance(result[self.source], MetaTensor):
                result[key] = MetaTensor(torch.as_tensor(result[key]), meta=copy.deepcopy(result[self.source].meta))
        return result
