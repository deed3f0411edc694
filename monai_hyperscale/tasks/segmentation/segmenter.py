"""A trained network as a function from an image to a label map on the image's own grid."""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Spacingd, Transform

from monai_hyperscale.data.transforms import SeenSpacingd, segmentation_preprocessing
from monai_hyperscale.errors import ImageError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.devices import stage
from monai_hyperscale.inference.folded import LabelInference
from monai_hyperscale.inference.inferers import PhiWholeImageInferer
from monai_hyperscale.inference.networks import TrainedNetwork
from monai_hyperscale.inference.regridding import at_spacing, label_on_grid
from monai_hyperscale.io.grids import grid_of, laid_out
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


class Segmenter(TrainedNetwork):
    """Segments images with folded networks: plain networks for one φ each, made at the first image and kept.

    Args:
        max_voxels: most voxels, on the network's grid, of an image that goes through whole. Larger ones go through in
            overlapping windows of ``settings.roi_size``, and their logits are never in memory all together.
        overlap: of neighbouring windows, in [0, 1).
        precision: ``fp32``, ``bf16`` or ``fp16``.
        force: take images that are far outside of what the network was trained on, with a warning in the log.
        others: see :class:`TrainedNetwork`.

    Example:
        >>> from monai_hyperscale.bundle.settings import build_network
        >>> settings = SegmentationSettings(3, ("MRI",), {1: "hippocampus"}, network={"features": (4, 4)})
        >>> Segmenter(settings, build_network(settings)).segment(MetaTensor(torch.rand(1, 11, 7, 5)), phi=0.3).shape
        (11, 7, 5)
    """

    kind = SegmentationSettings

    def __init__(
        self,
        settings: SegmentationSettings,
        network: HyperNetwork,
        device: Union[str, torch.device] = "cpu",
        max_voxels: int = 2**24,
        overlap: float = 0.25,
        precision: str = "fp32",
        force: bool = False,
    ) -> None:
        super().__init__(settings, network, device)
        self.force = force
        self.inferer = PhiWholeImageInferer(
            roi_size=settings.roi_size,
            spatial_dims=settings.spatial_dims,
            max_voxels=max_voxels,
            overlap=overlap,
            precision=precision,
        )
        shared = (settings.channels, settings.spatial_dims, settings.spacing, ("image",), settings.slices)
        steps = segmentation_preprocessing(*shared, seen=settings.seen, loaded=True).transforms
        bounded = [_InSlabs(step) if isinstance(step, (Spacingd, SeenSpacingd)) else step for step in steps]
        self._preprocessing = Compose(bounded)

    def segment(self, image: MetaTensor, phi: Phi = 0.5) -> np.ndarray:
        """Return the label values of an image on its own grid, of shape sizes, in the smallest unsigned type.

        Args:
            image: (C, *sizes) with its affine, as :func:`monai_hyperscale.io.read_image` gives it.
            phi: rescaling factor in [0, 1], or one per level; another is a ``ValueError``.

        Raises:
            ImageError: if the image has other channels or dimensions than the network takes, or is far outside of
                what it was trained on.
        """
        network = self.fold(phi)
        flat, slice_axis = self._fitted(image)
        name = str(image.meta.get("filename_or_obj") or "the image")
        self.settings.check_seen(name, grid_of(flat), self.force)
        with torch.inference_mode():
            with stage("preprocessing"):
                prepared = self._preprocessing({"image": flat})["image"]
                affine = np.asarray(prepared.affine)
                voxels = torch.from_numpy(laid_out(prepared.as_tensor().cpu().numpy()))
                del prepared
            found = LabelInference(network, self.inferer)(voxels[None])[0]
        del voxels
        with stage("resampling"):
            # The argmax came first, so that one label map is resampled, not the logits of every label.
            volume = flat.ndim == 4
            label = label_on_grid(found, affine, np.asarray(flat.affine), flat.shape[1:]) if volume else found.numpy()
            if slice_axis:
                label = label[..., None] if label.ndim < image.ndim - 1 else label[..., 0]
            return self._valued(label)

    def unlike(self, image: MetaTensor) -> Optional[str]:
        """Return in what an image is far outside of what the network was trained on, or ``None``."""
        grid, seen = grid_of(self._fitted(image)[0]), self.settings.seen
        return None if seen is None else seen.unlike(grid.sizes, grid.affine, self.settings.spatial_dims)

    def _valued(self, label: np.ndarray) -> np.ndarray:
        """Return the values that class indices mean, in the smallest type and laid out as they are."""
        values = np.asarray(self.settings.values, dtype=np.min_scalar_type(max(self.settings.values)))
        if np.array_equal(values, np.arange(len(values))):
            return label.astype(values.dtype, copy=False)
        return values[label.T].T

    def _fitted(self, image: MetaTensor) -> tuple[Any, bool]:
        """Return the image with as many axes as the network takes, and whether one was added or removed."""
        settings, name = self.settings, image.meta.get("filename_or_obj") or "the image"
        if len(image) != settings.in_channels:
            raise ImageError(
                f"{name} has {len(image)} channel{'s' * (len(image) > 1)}, but the network takes "
                f"{settings.in_channels} ({', '.join(settings.channels)})."
            )
        dims, wanted = image.ndim - 1, 3 if settings.spatial_dims == 3 or settings.slices else 2
        if dims == wanted:
            return image, False
        if dims == 3 and image.shape[-1] == 1:
            return image[..., 0], True
        if dims == 2 and settings.slices:
            return image[..., None], True
        hint = "take a slice, or a network for volumes" if wanted == 2 else "name a volume, or a network for 2D images"
        raise ImageError(f"{name} is {dims}D, but the network takes {wanted}D images; {hint}.")


class _InSlabs(Transform):
    """MONAI's ``Spacingd``, or ours, for one image, with little memory."""

    def __init__(self, spacing: Union[Spacingd, SeenSpacingd]) -> None:
        self.spacing = spacing

    def __call__(self, data: dict[str, MetaTensor]) -> dict[str, MetaTensor]:
        def planned(image: MetaTensor, lazy: bool) -> Any:
            return self.spacing({"image": image}, lazy=lazy)["image"]

        return {"image": at_spacing(data["image"], planned)}
