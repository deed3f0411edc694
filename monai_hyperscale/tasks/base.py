"""What a task tells the rest of the package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Optional

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.report.cards import Card, KeyEntry

__all__ = ["Task"]


class Task(ABC):
    """What differs between segmentation, registration and whatever else a φ-network is trained for.

    Implementations import what is heavy inside their methods, so that a task can be asked for at little cost.
    """

    @property
    @abstractmethod
    def settings(self) -> type[NetworkSettings]:
        """What describes a trained network of this task."""

    @abstractmethod
    def cards(
        self,
        example: Any,
        number: int,
        labels: Mapping[int, str],
        phi_name: Callable[[tuple[float, ...]], str],
        note: Callable[[tuple[float, ...]], Optional[str]],
    ) -> tuple[list[Card], list[KeyEntry]]:
        """Return the pictures of an example for a report's page, one card per φ, and the key to their colours.

        Args:
            example: an :class:`~monai_hyperscale.report.Example`.
            number: of the example on the page.
            labels: name of every label by its value.
            phi_name: φ as people read it.
            note: from φ to the score of this case.
        """
