"""Labels softened by what trained networks make of the image at several φ: distillation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from monai.engines import PrepareBatch, default_prepare_batch
from monai.networks import one_hot

from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.errors import ConfigError
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.inference.networks import FoldedNetworks, model_folder, trained_network
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings


class SoftenedLabels(PrepareBatch):
    """Mix the label with the mean prediction of trained networks over several φ.

    What a network makes of an image at one φ and at another differs most where the image leaves room for doubt: the
    mean is a steadier target than either, and than one annotator's border. SAN section 3.2 teaches small inputs by the
    prediction on large ones (scale distillation); here every φ is taught by several of the teacher's.

    ``teachers`` are one or more plain networks from images to logits (B, classes, *sizes), on the device of the
    training; ``precision`` is that of :class:`PhiInferer`.

    Example:
        >>> batch = {"image": torch.zeros(2, 1, 8, 6), "label": torch.zeros(2, 1, 8, 6)}
        >>> image, target = SoftenedLabels([torch.nn.Conv2d(1, 3, 1)])(batch)
        >>> target.shape, bool((target[:, 0] >= 0.5).all())
        (torch.Size([2, 3, 8, 6]), True)
    """

    def __init__(self, teachers: Sequence[torch.nn.Module], precision: str = "fp32") -> None:
        if not teachers:
            raise ValueError("a teacher is needed, got none.")
        inferer = PhiInferer(precision=precision)
        self.teachers = [FoldedInference(teacher.eval(), inferer) for teacher in teachers]

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: Optional[Union[str, torch.device]] = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (B, C, *sizes) and the share of each class in every voxel, (B, classes, *sizes)."""
        batch: Any = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
        image, label = batch[:2]
        predicted = torch.stack([teacher(image).float().softmax(1) for teacher in self.teachers]).mean(0)
        shares = label if label.shape[1] > 1 else one_hot(label, predicted.shape[1])
        return image, (predicted + shares) / 2


def teacher_folders(teacher: Any) -> list[Path]:
    """Return the folders of ``model.json`` and ``model.pt`` of one teacher or of several."""
    named = teacher if isinstance(teacher, (list, tuple)) else [teacher]
    if not named or not all(isinstance(each, (str, Path)) for each in named):
        raise ConfigError(f"teacher must be a folder of a trained network or a list of them, got {teacher!r}.")
    return [model_folder(each) for each in named]


def softened_labels(
    teacher: Optional[Union[str, Path, Sequence[Union[str, Path]]]],
    phis: Sequence[Phi],
    settings: SegmentationSettings,
    precision: str = "fp32",
    device: Union[str, torch.device] = "cpu",
) -> Any:
    """Return how batches are prepared: with labels softened by one teacher's folder or several, if there is one.

    A network that is not there is a :class:`CheckpointError`, one with other channels or labels, or not trained for a
    φ, a :class:`ConfigError`.
    """
    if teacher is None:
        return default_prepare_batch
    networks = [network for folder in teacher_folders(teacher) for network in _folded(folder, phis, settings, device)]
    return SoftenedLabels(networks, precision)


def _folded(
    folder: Path, phis: Sequence[Phi], settings: SegmentationSettings, device: Union[str, torch.device]
) -> list[torch.nn.Module]:
    taught = read_settings(folder / "model.json")
    wanted, got = ((each.in_channels, each.out_channels, each.file_dims) for each in (settings, taught))
    if wanted != got or settings.spatial_dims != taught.spatial_dims:
        raise ConfigError(
            f"the teacher in {folder} takes {got[0]} channels of {taught.spatial_dims}D images and knows {got[1]} "
            f"classes; the network to train takes {wanted[0]}, of {settings.spatial_dims}D images, and has {wanted[1]}."
        )
    for phi in phis:
        if not taught.context["phi"].trained(phi):
            raise ConfigError(f"the teacher in {folder} was not trained for phi = {phi}; change teacher_phi.")
    folded = FoldedNetworks(trained_network(folder, taught), taught.spatial_dims, device)
    return [folded.at(phi) for phi in phis]
