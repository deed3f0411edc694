"""The task of registration, as the rest of the package asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from monai_hyperscale.tasks.base import Task
from monai_hyperscale.tasks.columns import LABEL_SCORES, Column

if TYPE_CHECKING:
    from monai_hyperscale.report.cards import Card, KeyEntry
    from monai_hyperscale.search import Metric, WorkloadOptions
    from monai_hyperscale.tasks.registration.folding import RegistrationFolding
    from monai_hyperscale.tasks.registration.options import RegistrationInferenceOptions, RegistrationOptions
    from monai_hyperscale.tasks.registration.settings import RegistrationSettings
    from monai_hyperscale.tasks.registration.workload import RegistrationWorkload

__all__ = ["TASK"]


class Registration(Task):
    """See :class:`Task`."""

    case_noun = "pair"
    shown = ("moving", "fixed")
    columns = (Column("before", "Before"), Column("folded", "Folded", share=True, higher_is_better=False))
    scores = (*LABEL_SCORES, "correlation")
    trial = {
        "max_epochs": 1,
        "iterations_per_epoch": 2,
        "val_interval": 1,
        "batch_size": 2,
        "num_workers": 0,
        "network::features": [4, 4],
        "head_features": 4,
        "synthetic": {"pairs": 5, "size": 16},
        "split": [0.6, 0.2, 0.2],
    }
    commands = {
        "register": "monai_hyperscale.tasks.registration.register:register",
        "apply-field": "monai_hyperscale.tasks.registration.apply_field:apply_field",
    }

    @property
    def settings(self) -> type[RegistrationSettings]:
        """What describes a trained network, see :class:`Task`."""
        from monai_hyperscale.tasks.registration.settings import RegistrationSettings

        return RegistrationSettings

    def facts(self, settings: RegistrationSettings) -> dict[str, Any]:
        """Return labels, sizes and what the field is made of, see :class:`Task`."""
        return {
            "labels": {str(value): name for value, name in sorted(settings.labels.items())},
            "sizes": None if settings.sizes is None else list(settings.sizes),
            "integration_steps": settings.integration_steps,
            "field_scale": settings.field_scale,
            "passes": settings.passes,
            "regularization": None if settings.regularization is None else list(settings.regularization),
        }

    def description(self, settings: RegistrationSettings) -> list[tuple[str, str]]:
        """Return how the field comes about, see :class:`Task`."""
        steps, scale, passes = settings.integration_steps, settings.field_scale, settings.passes
        field = f"velocity, integrated in {steps} steps" if steps else "displacement"
        field += "" if scale == 1 else f", at {scale:g} of the size"
        field += "" if passes == 1 else f", in {passes} passes"
        if settings.regularization is not None:
            low, high = settings.regularization
            field += f", smoothness from {low:g} to {high:g}"
        return [("field", field)]

    @property
    def training_options(self) -> type[RegistrationOptions]:
        """See :class:`Task`."""
        from monai_hyperscale.tasks.registration.options import RegistrationOptions

        return RegistrationOptions

    @property
    def inference_options(self) -> type[RegistrationInferenceOptions]:
        """See :class:`Task`."""
        from monai_hyperscale.tasks.registration.options import RegistrationInferenceOptions

        return RegistrationInferenceOptions

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Optional[Metric]:
        """Return a score of warped label maps, ``None`` for the images' correlation, see :class:`Task`."""
        from monai_hyperscale.search.metrics import metric_named

        return None if name == "correlation" else metric_named(name or self.scores[0], tolerance)

    def workload(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> RegistrationWorkload:
        """Return pairs of images with the network that registers them, see :class:`Task`."""
        from monai_hyperscale.tasks.registration.workload import PAIRS, RegistrationWorkload

        metric = self.metric(options.metric, options.tolerance)
        pairs = PAIRS if options.limit is None else options.limit
        return RegistrationWorkload(
            bundle,
            dataset_dir,
            metric,
            options.part,
            pairs,
            options.device,
            options.regularization,
            options.seed,
            options.pairs,
            options.atlas,
            options.atlas_label,
        )

    @property
    def bundle(self) -> Path:
        """Folder of the bundle, see :class:`Task`."""
        from monai_hyperscale.bundle.locate import default_bundle

        return default_bundle("sshn_reg")

    def folding(self, settings: RegistrationSettings) -> RegistrationFolding:
        """Return what folded networks are compared on, see :class:`Task`."""
        from monai_hyperscale.tasks.registration.folding import RegistrationFolding

        return RegistrationFolding(settings)

    def prediction_shape(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a displacement field in voxels, from the fixed image to the moving one."""
        return (len(sizes), *sizes)

    def cards(
        self,
        example: Any,
        number: int,
        labels: Mapping[int, str],
        phi_name: Callable[[tuple[float, ...]], str],
        note: Callable[[tuple[float, ...]], Optional[str]],
    ) -> tuple[list[Card], list[KeyEntry]]:
        """Return the pictures of an example, see :class:`Task`."""
        from monai_hyperscale.tasks.registration.pictures import registration_cards, registration_key

        return registration_cards(example, phi_name, note), registration_key()


TASK = Registration()
