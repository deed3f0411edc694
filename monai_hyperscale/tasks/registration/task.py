"""The task of registration, as the rest of the package asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from monai_hyperscale.report.cards import Card, KeyEntry
from monai_hyperscale.tasks.base import Task
from monai_hyperscale.tasks.columns import Column
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

if TYPE_CHECKING:
    from monai_hyperscale.search import Metric, WorkloadOptions
    from monai_hyperscale.tasks.registration.workload import RegistrationWorkload

__all__ = ["TASK"]


class Registration(Task):
    """See :class:`Task`."""

    settings = RegistrationSettings
    case_noun = "pair"
    columns = (Column("before", "Before"), Column("folded", "Folded", share=True, higher_is_better=False))

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Optional[Metric]:
        """Return a score of warped label maps, ``None`` for the images' correlation, see :class:`Task`."""
        from monai_hyperscale.search.metrics import metric_named

        return None if name == "correlation" else metric_named(name or "dice", tolerance)

    def workload(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> RegistrationWorkload:
        """Return pairs of images with the network that registers them, see :class:`Task`."""
        from monai_hyperscale.tasks.registration.workload import PAIRS, RegistrationWorkload

        metric = self.metric(options.metric, options.tolerance)
        pairs = PAIRS if options.limit is None else options.limit
        return RegistrationWorkload(
            bundle, dataset_dir, metric, options.part, pairs, options.device, options.regularization, options.seed
        )

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
