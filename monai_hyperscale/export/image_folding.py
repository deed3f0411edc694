"""Folded networks for single images, prepared by transforms from files to what the network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from monai.data import MetaTensor

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.data.intensity import NormalizeChannels, channel_kind
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export.folding import Folding
from monai_hyperscale.io.images import read_image

__all__ = ["ImageFolding"]

Settings = TypeVar("Settings", bound=NetworkSettings)


class ImageFolding(Folding[Settings]):
    """One image, prepared as in training, see :class:`Folding`."""

    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        """Return one anatomy in every channel, see :class:`Folding`."""
        settings = self.settings
        image = torch.from_numpy(synthetic_case([seed, 0], settings.spatial_dims, list(sizes))[0])
        # Synthetic anatomy has no Hounsfield units: its values lie in [0, 1].
        channels = ["CT [0, 1]" if channel_kind(name) == "ct" else name for name in settings.channels]
        return NormalizeChannels(channels)(torch.stack([image] * settings.in_channels))

    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        """Return an image, of volumes for a network for slices the middle one, see :class:`Folding`."""
        settings, (image,) = self.settings, images
        dims = image.dim() - 1
        if len(image) != settings.in_channels or dims != settings.file_dims:
            raise ExportError(
                f"the image has {len(image)} channels and {dims} axes, but the network takes {settings.in_channels} "
                f"and {settings.file_dims}; name another."
            )
        shared = (settings.channels, settings.spatial_dims, settings.spacing)
        steps = segmentation_preprocessing(*shared, keys=("image",), slices=settings.slices, loaded=True)
        x = steps({"image": image})["image"].as_tensor()[None]
        return x[..., x.shape[-1] // 2] if settings.slices else x

    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        """Read the channels of one image, see :class:`Folding`."""
        return [read_image(list(paths), self.settings.in_channels)]
