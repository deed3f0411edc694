"""The transforms of a training, an evaluation and an inference, put together from the parts beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Compose, EnsureTyped, MapLabelValued, Transform

from monai_hyperscale.data.augmentation import augmentation, slice_sampling
from monai_hyperscale.data.labels import ClassIndexd
from monai_hyperscale.data.reading import ReadImaged
from monai_hyperscale.data.transforms import SaveLabeld, inversion, segmentation_preprocessing
from monai_hyperscale.io.seen import SeenImages


def training_transforms(
    channels: Sequence[str],
    spatial_dims: int,
    roi_size: Sequence[int],
    spacing: Sequence[float] | None = None,
    slices: bool = False,
    label_values: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Compose:
    """Return the transforms of training samples: the deterministic ones first, flat, so that a cache stops there.

    ``roi_size`` is the size of a sample, with ``slices`` an axial slice of a volume; ``options`` are further arguments
    of :func:`augmentation`, where ``soft_labels`` may be ``True``. For others see :func:`segmentation_preprocessing`.

    Example:
        >>> type(training_transforms(("MRI",), 2, (64, 64), slices=True).transforms[0]).__name__
        'ReadImaged'
    """
    loading = segmentation_preprocessing(channels, spatial_dims, spacing, slices=slices, label_values=label_values)
    # Nothing is inverted in training, and random transforms are a third faster on tensors without metadata.
    plain = EnsureTyped(("image", "label"), track_meta=False)
    options = dict(options or {})
    if options.get("soft_labels") is True:
        if label_values is None:
            raise ValueError("soft_labels=True needs label_values, which tell the number of classes.")
        options["soft_labels"] = len(label_values)
    sampling = [slice_sampling()] if slices else []
    return Compose([loading, plain, *sampling, augmentation(spatial_dims, roi_size, **options)]).flatten()


def evaluation_preprocessing(
    channels: Sequence[str],
    spatial_dims: int,
    spacing: Sequence[float] | None = None,
    slices: bool = False,
    label_values: Sequence[int] | None = None,
    seen: SeenImages | None = None,
) -> Compose:
    """Return the transforms of evaluation cases: the image as the network takes it, the label as the file has it.

    Predictions are brought back to the grid of the file with :func:`inversion` and compared there. Images far outside
    of ``seen``, what the training's were like, are a warning. The arguments are those of
    :func:`segmentation_preprocessing`.
    """
    image = segmentation_preprocessing(channels, spatial_dims, spacing, ("image",), slices, seen=seen, force=True)
    label: list[Transform] = [ReadImaged("label", channels=0)]
    if label_values is not None:
        label.append(ClassIndexd("label", label_values))
    return Compose([image, *label, EnsureTyped("label")]).flatten()


def inference_postprocessing(
    preprocessing: Compose, output_dir: str | Path, label_values: Sequence[int] | None = None
) -> Compose:
    """Return the transforms from logits to label files on the grid of the input, with its header, named after it.

    ``preprocessing`` is what the images went through; ``label_values`` is the value in the files of every class index,
    ``None`` for the indices. Files are NIfTI for NIfTI, PNG for 2D image files.
    """
    values: list[Transform] = []
    if label_values is not None and list(label_values) != list(range(len(label_values))):
        # MONAI's default of float32 does not hold every label value.
        pair = (list(range(len(label_values))), list(label_values))
        values.append(MapLabelValued("pred", *pair, dtype=np.int64))
    return Compose([inversion(preprocessing), *values, SaveLabeld("pred", output_dir)])
