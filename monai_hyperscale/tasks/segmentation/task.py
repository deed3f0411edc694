"""The task of segmentation, as the rest of the package asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from monai_hyperscale.tasks.base import Task
from monai_hyperscale.tasks.columns import LABEL_SCORES

if TYPE_CHECKING:
    from monai_hyperscale.report.cards import Card, KeyEntry
    from monai_hyperscale.search import Metric, WorkloadOptions
    from monai_hyperscale.tasks.segmentation.folding import SegmentationFolding
    from monai_hyperscale.tasks.segmentation.options import SegmentationInferenceOptions, SegmentationOptions
    from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
    from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload

__all__ = ["TASK"]


class Segmentation(Task):
    """See :class:`Task`."""

    scores = LABEL_SCORES
    trial = {
        "max_epochs": 1,
        "iterations_per_epoch": 2,
        "val_interval": 1,
        "batch_size": 2,
        "num_workers": 0,
        "network::features": [4, 4],
        "synthetic": {"cases": 8, "size": 20},
    }
    commands = {"segment": "monai_hyperscale.tasks.segmentation.segment:segment"}

    @property
    def settings(self) -> type[SegmentationSettings]:
        """What describes a trained network, see :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

        return SegmentationSettings

    def facts(self, settings: SegmentationSettings) -> dict[str, Any]:
        """Return labels and window, see :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.segmenter import label_names

        labels = {str(value): name for value, name in sorted(label_names(settings).items())}
        return {"labels": labels, "roi_size": None if settings.roi_size is None else list(settings.roi_size)}

    @property
    def training_options(self) -> type[SegmentationOptions]:
        """See :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.options import SegmentationOptions

        return SegmentationOptions

    @property
    def inference_options(self) -> type[SegmentationInferenceOptions]:
        """See :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.options import SegmentationInferenceOptions

        return SegmentationInferenceOptions

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Metric:
        """Return a score of label maps, see :class:`Task`."""
        from monai_hyperscale.search.metrics import metric_named

        return metric_named(name or self.scores[0], tolerance)

    def workload(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> SegmentationWorkload:
        """Return labelled images with the network that segments them, see :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.workload import SegmentationWorkload

        options.refuse("pairs", "atlas", "atlas_label", other="registration networks")
        metric = self.metric(options.metric, options.tolerance)
        return SegmentationWorkload(
            bundle, dataset_dir, metric, options.part, options.limit, options.device, options.max_voxels
        )

    @property
    def bundle(self) -> Path:
        """Folder of the bundle, see :class:`Task`."""
        from monai_hyperscale.bundle.locate import default_bundle

        return default_bundle("sshn_seg")

    def folding(self, settings: SegmentationSettings) -> SegmentationFolding:
        """Return what folded networks are compared on, see :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.folding import SegmentationFolding

        return SegmentationFolding(settings)

    def cards(
        self,
        example: Any,
        number: int,
        labels: Mapping[int, str],
        phi_name: Callable[[tuple[float, ...]], str],
        note: Callable[[tuple[float, ...]], Optional[str]],
    ) -> tuple[list[Card], list[KeyEntry]]:
        """Return the pictures of an example, see :class:`Task`."""
        from monai_hyperscale.tasks.segmentation.pictures import segmentation_cards, segmentation_key

        return segmentation_cards(example, number, labels, phi_name, note), segmentation_key(example, labels)


TASK = Segmentation()
