"""From image files to what a registration network sees, one size for all."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Randomizable, ResizeWithPadOrCropd, Transform

from monai_hyperscale.data.datalist import spread
from monai_hyperscale.data.headers import sizes_at
from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.data.labels import index_type
from monai_hyperscale.data.reading import Each
from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.io.seen import SeenImages
from monai_hyperscale.tasks.registration.pairs import RegistrationImages

_LOGGER = logging.getLogger(__name__)

# Largest size per axis by default: what trains in reasonable time and memory.
_LARGEST = {2: 256, 3: 128}
_MULTIPLE = 8
_IMAGES = ("moving", "fixed")


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

    As :func:`segmentation_preprocessing`, but intensities are clipped to percentiles and scaled to [0, 1]; then the
    centre is padded with 0, or cropped, to ``sizes``. Plain tensors, channel first: images float32 (C, *sizes), labels
    (1, *sizes) in the smallest type.

    ``sizes`` has one number per axis of the files; ``None`` keeps each image's own. With ``label_values``, the value of
    each class in the label files, labels become class indices. The log names what lies far outside of ``seen``. An
    argument that does not fit the others is a ``ValueError``.

    Example:
        >>> [type(each).__name__ for each in registration_preprocessing(("MRI",), 3, sizes=(48, 64, 48)).transforms]
        ['ReadImaged', 'Orientationd', 'Each', 'ResizeWithPadOrCropd', 'EnsureTyped']
    """
    file_dims = 3 if spatial_dims == 3 or slices else 2
    if sizes is not None and (len(sizes) != file_dims or min(sizes) < 1):
        raise ValueError(f"sizes must be {file_dims} numbers of at least 1, as the files have axes; got {sizes!r}.")
    keys = ["image", "label"] if label_values else ["image"]
    shared = (channels, spatial_dims, spacing, keys, slices, label_values or None, seen)
    loading = segmentation_preprocessing(*shared, force=True, intensity=Each("image", UnitIntensity()))
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
    """Return a size that holds every image, in RAS axes at ``spacing``: up to a multiple of 8, at most ``largest``.

    Headers of up to 500 cases are read. ``largest`` is 256 in 2D and 128 in 3D by default; what is larger is cropped,
    and the log says so.
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


class PairSlice(Randomizable, Transform):
    """Take the same axial slice (last axis) of everything in a pair of volumes, for 2D networks.

    That with most labelled voxels in the fixed image, or the middle one; or a ``random`` one of those where both images
    show something. A known displacement stays where it is zero along that axis; else there is none between two slices.

    Example:
        >>> PairSlice()({key: torch.rand(1, 9, 8, 7) for key in ("moving", "fixed")})["fixed"].shape
        torch.Size([1, 9, 8])
    """

    def __init__(self, random: bool = False) -> None:
        self.random = random

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        index = self._random_slice(data) if self.random else _shown_slice(data)
        result = {key: value[..., index] if isinstance(value, torch.Tensor) else value for key, value in data.items()}
        if "field" in result:
            flat = result.pop("field")
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
