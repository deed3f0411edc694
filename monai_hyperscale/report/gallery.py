"""The examples of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from monai_hyperscale.errors import ImageError
from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.view import View

__all__ = ["check_examples", "gallery"]


def check_examples(view: View, examples: Sequence[Example]) -> None:
    """Check that examples have what the frontier's task shows.

    Raises:
        ImageError: if one has not.
    """
    task = view.task
    needed, allowed = set(task.shown), {*task.shown, "label"}
    for example in examples:
        if not needed <= set(example.images) <= allowed:
            raise ImageError(
                f"example {example.name} of {view.frontier.task} needs the images {' and '.join(task.shown)}, got "
                f"{' and '.join(sorted(example.images))}."
            )
        wanted = task.prediction_shape(example.sizes)
        for phi, array in example.predictions.items():
            if wanted is not None and np.shape(array) != wanted:
                raise ImageError(
                    f"the prediction of example {example.name} at {view.phi_name(phi)} has shape "
                    f"{list(np.shape(array))}; {list(wanted)} is needed."
                )


def gallery(view: View, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return title, cards and key of every example, the φ side by side."""
    parts = []
    labels = {int(value): name for value, name in view.labels.items()}
    for number, example in enumerate(examples):
        note = _note(view, example.name)
        cards, key = view.task.cards(example, number, labels, view.phi_name, note)
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
