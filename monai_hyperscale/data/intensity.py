"""One intensity scale for the network, whatever the file holds: MR, CT in Hounsfield units, colour, grey."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import (
    ClipIntensityPercentiles,
    NormalizeIntensity,
    ScaleIntensity,
    ScaleIntensityRange,
    Transform,
)
from monai.utils import convert_to_dst_type, convert_to_tensor

from monai_hyperscale.data.reading import Each
from monai_hyperscale.errors import ConfigError, ImageError

_COLOURS = frozenset({"red", "green", "blue", "r", "g", "b", "rgb", "rgb_to_0_1"})
_CT = re.compile(r"(^|[^a-z])(ct|cta|cect|ncct|cbct|computed tomography)([^a-z]|$)")

# Fixed ranges go to [-2, 2], so that tissue has about the unit spread that z-scores have and one augmentation fits all.
_SPAN = (-2.0, 2.0)
#: Hounsfield units of soft tissue with contrast agent; lung and bone need (-1000, 1000) or so.
CT_WINDOW = (-200.0, 300.0)
# Of the clip of MR and all else, in percent.
_PERCENTILES = (0.5, 99.5)
# Single precision squares overflow beyond this; such values are fill values (FLT_MAX), not measurements.
_LARGEST = 1e18


def channel_kind(name: str) -> str:
    """Return how a channel of this name is scaled: ``ct``, ``colour``, ``grey`` or ``other``."""
    lowered = name.strip().lower()
    if lowered in _COLOURS:
        return "colour"
    if lowered in ("grey", "gray"):
        return "grey"
    return "ct" if _CT.search(lowered) else "other"


def ct_window(name: str) -> tuple[float, float]:
    """Return the least and greatest Hounsfield units that are told apart in a channel such as ``CT [-200, 300]``."""
    _, bracket, written = name.partition("[")
    if not bracket:
        return CT_WINDOW
    try:
        low, high = map(float, written.rstrip().removesuffix("]").split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise ConfigError(
            f"the channel {name!r} names no window of Hounsfield units; write it such as CT [-200, 300], least first."
        )
    return low, high


class NormalizeChannels(Transform):
    """Scale each channel by what its name says that it is, see :func:`channel_kind`.

    - ``ct``: Hounsfield units clipped to the window of :func:`ct_window`, which goes linearly to [-2, 2]
    - ``colour``: the range of the file's integers (0 … 255; 0 … 65535 for 16 bit) goes linearly to [-2, 2]
    - ``grey``: zero mean and unit spread over the image, unclipped: bright spots may be all there is to see
    - ``other``: clipped to the image's 0.5 % and 99.5 % percentiles, then zero mean and unit spread (MR and all else)

    Values that are not finite, or beyond ±1e18 (fill values), become the lowest value that is. Constant images become 0
    where the scale comes from the image.

    Example:
        >>> NormalizeChannels(("CT", "MRI"))(torch.tensor([[[-1000.0, 50.0, 300.0]], [[0.0, 1.7e6, 0.85e6]]]))[:, 0]
        tensor([[-2.0000,  0.0000,  2.0000],
                [-1.2247,  1.2247,  0.0000]])
    """

    def __init__(self, channels: Sequence[str]) -> None:
        if not channels or isinstance(channels, str):
            raise ValueError(f"channels must be a list of names, got {channels!r}.")
        self.channels = tuple(channels)
        self.clip = ClipIntensityPercentiles(*_PERCENTILES)
        self.zscore = NormalizeIntensity()
        self.windows = [ScaleIntensityRange(*ct_window(name), *_SPAN, clip=True) for name in self.channels]

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Map (C, *sizes) to float32 of the same shape; another number of channels is an :class:`ImageError`."""
        meta = image.meta if isinstance(image, MetaTensor) else {}
        if len(image) != len(self.channels):
            raise ImageError(
                f"{meta.get('filename_or_obj', 'the image')} has {len(image)} channels, but {len(self.channels)} "
                f"({', '.join(self.channels)}) are needed."
            )
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        values = [finite(channel.float()) for channel in plain]
        largest = _integer_range(
            max(float(channel.max()) for channel in values), plain.dtype, str(meta.get("mode", ""))
        )
        scaled = [
            self._scale(channel, channel_kind(name), window, largest)
            for channel, name, window in zip(values, self.channels, self.windows, strict=True)
        ]
        return convert_to_dst_type(torch.stack(scaled), dst=image, dtype=torch.float32)[0]

    def _scale(self, values: torch.Tensor, kind: str, window: ScaleIntensityRange, largest: float) -> torch.Tensor:
        if kind == "ct":
            scaled = window(values)
        elif kind == "colour":
            scaled = ScaleIntensityRange(0, largest, *_SPAN)(values)
        else:
            # Counting from the lowest value keeps float32 precise where the mean is large against the spread.
            raised = values - values.min()
            scaled = self.zscore(raised if kind == "grey" else self.clip(raised))
        # Plain, since MONAI's transforms take a single channel for an image with one axis less.
        return convert_to_tensor(scaled, track_meta=False)


class UnitIntensity(Transform):
    """Clip every channel to its own 0.5 % and 99.5 % percentiles and scale it to [0, 1]; constant ones become 0.

    What is not finite, or a fill value beyond ±1e18, counts as the lowest other value. Where the percentiles are equal,
    as in an image of a few bright voxels, nothing is clipped.
    """

    def __init__(self) -> None:
        self.clip = ClipIntensityPercentiles(*_PERCENTILES)
        self.scale = ScaleIntensity(0.0, 1.0)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Map (C, *sizes) to float32 of the same shape."""
        scaled = [self._channel(convert_to_tensor(channel, track_meta=False).float()) for channel in image]
        return convert_to_dst_type(torch.stack(scaled), dst=image, dtype=torch.float32)[0]

    def _channel(self, values: torch.Tensor) -> torch.Tensor:
        values = finite(values)
        # Counting from the lowest value keeps float32 precise where the mean is large against the spread.
        raised = values - values.min()
        clipped = convert_to_tensor(self.clip(raised), track_meta=False)
        return convert_to_tensor(self.scale(clipped if clipped.max() > clipped.min() else raised), track_meta=False)


def finite(values: torch.Tensor) -> torch.Tensor:
    """Replace NaN, infinities and fill values beyond ±1e18 by the lowest other value; by 0 where there is none."""
    low, high = values.aminmax()  # NaN if there is any
    if -_LARGEST < low and high < _LARGEST:
        return values
    good = torch.isfinite(values) & (values.abs() < _LARGEST)
    lowest = values[good].min() if good.any() else torch.zeros((), dtype=values.dtype)
    return torch.where(good, values, lowest)


def _integer_range(highest: float, dtype: torch.dtype, mode: str) -> float:
    """Return the largest integer of the file's type: from PIL's mode or the dtype, else from the highest value."""
    if mode:
        return 65535.0 if mode.startswith("I") else 255.0
    if dtype == torch.uint8:
        return 255.0
    return 1.0 if highest <= 1 else 255.0 if highest <= 255 else 65535.0


class NormalizeChannelsd(Each):
    """Dictionary form of :class:`NormalizeChannels`.

    Example:
        >>> image = torch.full((3, 2, 2), 255, dtype=torch.uint8)
        >>> NormalizeChannelsd("image", ("red", "green", "blue"))({"image": image})["image"].unique()
        tensor([2.])
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[str]) -> None:
        super().__init__(keys, NormalizeChannels(channels))
