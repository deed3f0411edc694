"""Images by class: a folder for each class, read, split, and prepared for the network."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

import numpy as np
from monai.transforms import Compose, EnsureTyped, RandFlipd, RandGaussianNoised
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_hyperscale.data import segmentation_preprocessing, split_cases
from monai_hyperscale.data.datalist import channel_names
from monai_hyperscale.data.headers import case_header, file_suffix, seen_images
from monai_hyperscale.data.training_cases import TrainingCases, facts_of, folder_or_made
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.images import split_suffix
from monai_hyperscale.tasks.classification.settings import ClassificationSettings
from monai_hyperscale.training.options import InferenceOptions as InferenceOptions
from monai_hyperscale.training.options import TrainingOptions


@dataclass(frozen=True)
class ImageClasses:
    """Images by class: ``{"name": "ring/image_001", "image": path, "class": index}``, sorted by name."""

    cases: list[dict[str, Any]]
    channels: tuple[str, ...]
    labels: dict[int, str]
    spatial_dims: int

    @property
    def label_values(self) -> tuple[int, ...]:
        """The classes' indices."""
        return tuple(self.labels)


def read_classes(dataset_dir: Union[str, os.PathLike]) -> ImageClasses:
    """Read a data set that has a folder of images for each class, named after it, NIfTI volumes or 2D image files."""
    root = Path(dataset_dir).expanduser()
    files: dict[str, list[Path]] = {}
    for path in sorted(root.glob("[!.]*/[!.]*")):
        if file_suffix(path):
            files.setdefault(path.parent.name, []).append(path)
    if len(files) < 2:
        raise DatasetError(f"{root} needs a folder of images for each class, at least two; {len(files)} are there.")
    cases = [
        {"name": f"{name}/{split_suffix(path)[0]}", "image": str(path), "class": index}
        for index, (name, paths) in enumerate(files.items())
        for path in paths
    ]
    header = case_header(cases[0])
    return ImageClasses(cases, channel_names({}, cases, header), dict(enumerate(files)), len(header.sizes))


def load_class_data(
    dataset_dir: Optional[Union[str, Path]],
    synthetic_dir: Union[str, Path],
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    synthetic: Optional[Mapping[str, Any]] = None,
) -> TrainingCases:
    """Find and split the images of a data set, see :func:`read_classes`, or built-in shapes if none is named."""
    folder, title = folder_or_made(
        dataset_dir, "synthetic shapes", lambda: write_shapes(synthetic_dir, seed=seed, **(synthetic or {}))
    )
    found = read_classes(folder)
    parts = split_cases(found.cases, fractions, seed)
    logging.getLogger(__name__).info(
        f"{title}: {len(found.cases)} images of {', '.join(found.labels.values())}; {len(parts[0])} train, "
        f"{len(parts[1])} validation, {len(parts[2])} test."
    )
    facts = facts_of(found, title, [[case["name"] for case in part] for part in parts], found.spatial_dims)
    return TrainingCases(folder, *parts, seen=seen_images(parts[0]), **facts)


def preprocessing(
    channels: Sequence[str], spatial_dims: int, spacing: Optional[Sequence[float]] = None, training: bool = False
) -> Compose:
    """Return the transforms from a case to an image (C, *sizes) and its class, in training with flips and noise."""
    loading = segmentation_preprocessing(channels, spatial_dims, spacing, keys=("image",))
    varied = [RandFlipd("image", prob=0.5, spatial_axis=axis) for axis in range(spatial_dims)]
    noise = RandGaussianNoised("image", prob=0.3, std=0.1)
    steps = [*varied, noise] if training else []
    return Compose([loading, EnsureTyped("image", track_meta=False), *steps]).flatten()


class ClassificationOptions(TrainingOptions):
    """See :class:`TrainingOptions`."""

    data: ClassVar[str] = "a folder with one folder of images per class"

    def settings(self) -> ClassificationSettings:
        return ClassificationSettings(labels={0: "x", 1: "y"}, **self.shared_settings())


#: The classes, by name.
SHAPES = ("bar", "disc", "ring")
_NOISE = 0.08
_BLUR = 0.7


def shape_image(seed: int | Sequence[int], shape: str, size: int = 32) -> np.ndarray:
    """Make an image of one of :data:`SHAPES`, float32 (size, size) from 0 to 1."""
    if shape not in SHAPES:
        raise ValueError(f"a shape is one of {', '.join(SHAPES)}, got {shape!r}.")
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] - rng.uniform(0.35, 0.65, 2)[:, None, None] * size
    radius, turn = rng.uniform(0.2, 0.3) * size, rng.uniform(0, np.pi)
    distance = np.hypot(rows, columns)
    if shape == "bar":
        along = rows * np.cos(turn) + columns * np.sin(turn)
        across = columns * np.cos(turn) - rows * np.sin(turn)
        inside = (np.abs(along) < 1.3 * radius) & (np.abs(across) < 0.35 * radius)
    else:
        inside = (distance < radius) & (distance > (0.6 * radius if shape == "ring" else -1))
    background, contrast = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5)
    image = gaussian_filter(background + contrast * inside, _BLUR) + rng.normal(0, _NOISE, (size, size))
    return image.clip(0, 1).astype(np.float32)


def write_shapes(folder: str | Path, cases: int = 60, size: int = 32, seed: int = 0) -> Path:
    """Write images of all shapes, a folder for each, as many of each shape as of the others."""
    root = Path(folder)
    for number in range(cases):
        place = number % len(SHAPES)
        path = root / SHAPES[place] / f"image_{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = 255 * shape_image([seed, number], SHAPES[place], size)
        Image.fromarray(pixels.round().astype(np.uint8)).save(path)
    return root
