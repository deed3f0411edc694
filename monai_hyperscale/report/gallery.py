"""The examples of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from monai_hyperscale.errors import ImageError
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.view import View
from monai_hyperscale.tasks import task_named

__all__ = ["check_examples", "gallery"]


def check_examples(view: View, examples: Sequence[Example]) -> None:
    """Check that examples are of the frontier's task.

    Raises:
        ImageError: if one is not.
    """
    for example in examples:
        if example.kind != view.frontier.task:
            raise ImageError(
                f"example {example.name} is of {example.kind}, but the frontier is of {view.frontier.task}; "
                "give images and predictions of that task."
            )


def gallery(view: View, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return title, cards and key of every example, the φ side by side."""
    parts = []
    labels = {int(value): name for value, name in view.labels.items()}
    for number, example in enumerate(examples):
        note = _note(view, example.name)
        cards, key = task_named(example.kind).cards(example, number, labels, view.phi_name, note)
        place = "" if len(example.sizes) == 2 else f", axial slice {example.slice_index()} of {example.sizes[2]}"
        parts.append({"title": example.name, "place": place, "cards": cards, "key": key})
    return parts


def _note(view: View, name: str) -> Callable[[tuple[float, ...]], Optional[str]]:
    """Return the function from φ to the score of this case."""

    def note(phi: tuple[float, ...]) -> Optional[str]:
        row = view.frontier.row(phi)
        scores = row.cases.get(name) if row is not None else None
        known = [score for score in (scores or {}).values() if score is not None]
        return f"{view.metric} {view.score_text(sum(known) / len(known))}" if known else None

    return note
