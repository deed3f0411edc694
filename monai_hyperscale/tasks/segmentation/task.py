"""The task of segmentation, as the rest of the package asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from monai_hyperscale.report.cards import Card, KeyEntry
from monai_hyperscale.tasks.base import Task
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

__all__ = ["TASK"]


class Segmentation(Task):
    """See :class:`Task`."""

    settings = SegmentationSettings

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
