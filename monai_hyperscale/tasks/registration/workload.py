"""Registration networks measured on pairs of labelled images: warped labels against those of the fixed image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch

from monai_hyperscale.data.check import tell_places
from monai_hyperscale.data.headers import case_header
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.registration import folded_share, warp
from monai_hyperscale.search.metrics import correlation
from monai_hyperscale.search.statistics import case_scores
from monai_hyperscale.search.workload import CaseResult, Workload, WorkloadOptions, case_errors
from monai_hyperscale.tasks.registration.pair_files import PathLike
from monai_hyperscale.tasks.registration.pair_transforms import PairSlice, common_size, registration_preprocessing
from monai_hyperscale.tasks.registration.recorded_pairs import measured_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.training_data import PairDataset

logger = logging.getLogger(__name__)

#: Pairs that are drawn unless told otherwise: of n cases there are n (n − 1).
PAIRS = 40
# The label of pairs without labels.
_WHOLE = {"0": "whole image"}


class RegistrationWorkload(Workload):
    """A registration network and pairs of images, prepared as in training, compared on the network's grid.

    Volumes of other voxels than in training are resampled to those, and the log names what lies far outside of it,
    as by :class:`Registrar`. An atlas is no case itself.
    """

    def __init__(self, bundle: Union[str, Path], dataset_dir: PathLike, options: WorkloadOptions) -> None:
        self.registrar = Registrar.from_bundle(bundle, options.device, force=True, keep="network")
        settings = self.registrar.settings
        super().__init__(bundle, dataset_dir, options, settings)
        folder, metric = model_folder(bundle), self.metric
        given = {name: getattr(options, name) for name in ("pairs", "atlas", "atlas_label")}
        images, pairs = measured_pairs(settings, dataset_dir, options.part, [folder, folder.parent], **given)
        if metric is not None and not images.labels:
            if options.metric is not None:
                raise DatasetError(f"{dataset_dir} has no labels to compare; use the metric correlation.")
            logger.warning("%s has no labels to compare; the score is the correlation of images.", dataset_dir)
            metric = self.metric = None
        pairs = pairs.sample(PAIRS if options.limit is None else options.limit, options.seed)
        if not len(pairs):
            raise DatasetError(f"{dataset_dir} has no pair among its {options.part} cases; take all cases.")
        fixed = settings.context.with_defaults(regularization=options.regularization)
        self._regularization: Any = fixed["regularization"].default if "regularization" in fixed else None
        self.names = [pair["name"] for pair in pairs]
        self.choices = {
            "metric": "correlation" if metric is None else metric.key,
            "tolerance": None if metric is None else metric.tolerance,
            "regularization": self._regularization,
            "pairs_seed": options.seed,
        }
        values = images.label_values
        self._classes = sorted(images.labels) if metric is not None else []
        self.labels = {str(values[index]): images.labels[index] for index in self._classes} or dict(_WHOLE)
        self._cases = pairs.cases
        tell_places(self._cases)
        with case_errors(self.title):
            sizes = settings.sizes or common_size(images, settings.spacing)
            preprocessing = registration_preprocessing(
                images.channels, settings.spatial_dims, sizes, settings.spacing, settings.slices, values, settings.seen
            )
            shown = PairSlice() if settings.slices else None
            self._pairs = PairDataset(pairs, preprocessing, shown, known_fields=False)
        self._inferer = PhiInferer()
        self._before: dict[int, Optional[float]] = {}

    def run(self, phi: Phi) -> FoldedInference:
        return FoldedInference(self.registrar.fold(phi, regularization=self._regularization), self._inferer)

    def network_input(self, index: int) -> torch.Tensor:
        pair = self._pairs[index]
        return torch.cat([pair["moving"], pair["fixed"]])[None].to(self.device)

    def measure(self, index: int, run: FoldedInference) -> CaseResult:
        pair, spacing = self._pairs[index], self._spacing(index)
        with torch.inference_mode():
            field = run(self.network_input(index)).float().cpu()
            if index not in self._before:
                self._before[index] = case_scores({"": self._scores(pair, spacing, None)})[0]
            scores, folded = self._scores(pair, spacing, field), float(folded_share(field))
        volumes = self.volumes(pair["fixed_label"], self._classes, spacing) if self._classes else {}
        return CaseResult(scores, {"before": self._before[index], "folded": folded}, volumes)

    def example(
        self, index: int, runs: Mapping[tuple[float, ...], FoldedInference]
    ) -> tuple[dict[str, np.ndarray], dict[tuple[float, ...], np.ndarray]]:
        """Return both images and the displacement fields on the network's grid, in voxels."""
        pair, batch = self._pairs[index], self.network_input(index)
        images = {key: pair[key][0].numpy() for key in ("moving", "fixed")}
        return images, {phi: run(batch)[0].float().cpu().numpy() for phi, run in runs.items()}

    def _scores(
        self, pair: Mapping[str, Any], spacing: Optional[list[float]], field: Optional[torch.Tensor]
    ) -> dict[str, Optional[float]]:
        if self.metric is None:
            moving = pair["moving"] if field is None else warp(pair["moving"][None], field)[0]
            return {next(iter(_WHOLE)): correlation(moving, pair["fixed"])}
        label = pair["moving_label"][None].float()
        moved = label if field is None else warp(label, field, mode="nearest")
        scores = self.metric(moved[0].round().long(), pair["fixed_label"].long(), self._classes, spacing)
        return dict(zip(self.labels, scores, strict=True))

    def _spacing(self, index: int) -> Optional[list[float]]:
        """Return the size of the fixed image's voxels on the network's grid."""
        header = case_header(self._cases[self._pairs.pairs.pair(index).fixed])
        if header.affine is None or header.spacing is None:
            return None
        spacing = self.settings.spacing_for(header.affine)
        if spacing is None:  # the file's own, in RAS order, as the images are
            spacing = header.in_ras(header.spacing).tolist()
        return list(spacing[: self.settings.spatial_dims])
