"""Confirmation: what a φ that was chosen on some cases scores on others, and whether the two can be compared at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search.results import Frontier, FrontierRow, phi_name
from monai_hyperscale.tasks import task_named


@dataclass(frozen=True)
class Confirmation:
    """Frontiers of one network: to choose on, and of ``other`` cases to confirm on, which messages call by ``name``."""

    choice: Frontier
    other: Frontier
    shared: tuple[str, ...]
    name: str

    @property
    def warning(self) -> Optional[str]:
        """What is to be said where cases are in both, ``None`` where none is."""
        if not self.shared:
            return None
        return f"{len(self.shared)} of the cases to confirm on are among those that the choice was made on."

    def row(self, phi: Sequence[float]) -> FrontierRow:
        """Return what a φ scores on the other cases; a FrontierError if it was not measured there."""
        found = self.other.row(phi)
        if found is None:
            raise FrontierError(f"{self.name} has no phi = {phi_name(phi)}; measure it there too.")
        return found

    def check_common_phi(self) -> None:
        """Raise a FrontierError if no φ was measured on both."""
        if all(self.other.row(row.phi) is None for row in self.choice.rows):
            raise FrontierError(f"{self.name} has none of the phi to choose among; measure some of them there too.")


def confirmation(choice: Frontier, other: Frontier, name: str = "the frontier to confirm on") -> Confirmation:
    """Return two frontiers; a FrontierError, which calls the other one by ``name``, if it cannot confirm the first."""
    if other.bundle["weights_sha256"] != choice.bundle["weights_sha256"]:
        raise FrontierError(f"{name} is of other weights than the choice; confirm on the same network.")
    if dict(other.metric) != dict(choice.metric):
        raise FrontierError(
            f"{name} has another score ({other.metric['name']}) than the choice ({choice.metric['name']})."
        )
    if dict(other.labels) != dict(choice.labels):
        raise FrontierError(f"{name} has other labels ({_names(other)}) than the choice ({_names(choice)}).")
    shared: tuple[str, ...] = ()
    if other.data["name"] == choice.data["name"]:
        known = set(choice.data["cases"])
        shared = tuple(case for case in other.data["cases"] if case in known)
    return Confirmation(choice, other, shared, name)


def unconfirmed(frontier: Frontier, way: Optional[str] = None) -> Optional[str]:
    """Return what to say of a choice by a frontier alone, and the ``way`` to confirm it; ``None`` of a single φ."""
    if len(frontier.rows) < 2:
        return None
    part, count = frontier.data["part"], len(frontier.data["cases"])
    ways = {
        "test": "choose on those of pareto --cases validation, with these as --confirm",
        "validation": "add --confirm with those of pareto --cases test",
    }
    default = "choose on those of pareto --cases validation, with those of --cases test as --confirm"
    noun = task_named(frontier.task).case_noun + "s" * (count != 1)
    cases = f"{count} {noun}" if part == "all" else f"{count} {part} {noun}"
    return (
        f"chosen and scored on the same {cases}, which flatters the score; to confirm, {way or ways.get(part, default)}"
    )


def _names(frontier: Frontier) -> str:
    """Return the first few labels, enough to tell what a data set is of."""
    names = [f"{value} {name}" for value, name in frontier.labels.items()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"
