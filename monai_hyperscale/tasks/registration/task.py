"""The task of registration, as the rest of the package asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from monai_hyperscale.report.cards import Card, KeyEntry
from monai_hyperscale.tasks.base import Task
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

__all__ = ["TASK"]


class Registration(Task):
    """See :class:`Task`."""

    settings = RegistrationSettings

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
