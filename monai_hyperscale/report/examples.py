"""Cases to show in a report: the slice of them that is shown, and its pictures at several φ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from monai_hyperscale.errors import ImageError
from monai_hyperscale.report.view import View
from monai_hyperscale.search.results import Frontier
from monai_hyperscale.search.workload import Workload, as_phi

# φ at which a report shows an example.
_SHOWN = 5


@dataclass(frozen=True)
class Example:
    """One case with what the network makes of it at several φ: in RAS order, or 2D as Pillow's (width, height).

    Args:
        name: of the case, as in the frontier's rows, or any other.
        images: those that the task shows, and its reference ``label`` map if it has one: of 2 or 3 axes, one shape.
        predictions: φ, one factor or one per level, to what the network gives, see :meth:`Task.prediction_shape`.

    Raises:
        ImageError: if images or predictions are missing, or their shapes do not fit together.

    Example:
        >>> image = np.random.default_rng(0).random((8, 6))
        >>> Example("case_1", {"image": image}, {(0.3,): image > 0.5}).sizes
        (8, 6)
    """

    name: str
    images: Mapping[str, np.ndarray]
    predictions: Mapping[tuple[float, ...], np.ndarray]

    def __post_init__(self) -> None:
        if not self.images:
            raise ImageError(f"example {self.name} has no image.")
        if not self.predictions:
            raise ImageError(f"example {self.name} has no prediction: give one for at least one phi.")
        sizes = self.sizes
        if len(sizes) not in (2, 3) or 0 in sizes:
            raise ImageError(f"example {self.name} needs arrays of 2 or 3 axes, got the shape {list(sizes)}.")
        for name, array in self.images.items():
            if np.shape(array) != sizes:
                raise ImageError(f"the {name} of example {self.name} has shape {list(np.shape(array))}, not {sizes}.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Voxels per axis."""
        return np.shape(next(iter(self.images.values())))

    def slice_index(self) -> int:
        """Return the index along a volume's last axis that is shown: several labels rather than much of one."""
        sizes = self.sizes
        if len(sizes) == 2:
            return 0
        for labels in (self.images.get("label"), *self.predictions.values()):
            if labels is None or np.shape(labels) != sizes:  # what is predicted need not be a label map
                continue
            values = [value for value in np.unique(labels) if value]
            if values:
                seen = [np.sqrt((np.asarray(labels) == value).sum((0, 1))) for value in values]
                return int(np.argmax(np.sum(seen, axis=0)))
        return sizes[2] // 2

    def plane(self, array: np.ndarray) -> np.ndarray:
        """Return the slice of an array as rows and columns; volumes count up from the back, 2D images from the top."""
        array = np.asarray(array)
        return array.T if array.ndim == 2 else array[:, :, self.slice_index()].T[::-1]


def example_of(workload: Workload, frontier: Frontier) -> Example:
    """Return the first case of what was measured, at a few φ spread over the frontier's."""
    phis = [row.phi for row in frontier.rows]
    places = {round(place * (len(phis) - 1) / (_SHOWN - 1)) for place in range(_SHOWN)}
    runs = {phis[place]: workload.run(as_phi(phis[place])) for place in sorted(places)}
    images, predictions = workload.example(0, runs)
    return Example(workload.names[0], images, predictions)


def check_examples(view: View, examples: Sequence[Example]) -> None:
    """Raise ``ImageError`` unless examples have what the frontier's task shows."""
    needed = set(view.task.shown)
    for example in examples:
        if not needed <= set(example.images) <= needed | {"label"}:
            raise ImageError(
                f"example {example.name} of {view.frontier.task} needs the images {' and '.join(view.task.shown)}, got "
                f"{' and '.join(sorted(example.images))}."
            )
        wanted = view.task.prediction_shape(example.sizes)
        for phi, array in example.predictions.items():
            if wanted is not None and np.shape(array) != wanted:
                raise ImageError(
                    f"the prediction of example {example.name} at {view.phi_name(phi)} has shape "
                    f"{list(np.shape(array))}; {list(wanted)} is needed."
                )


def gallery(view: View, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Return title, cards and key of every example, the φ side by side, each with the score of this case."""
    parts = []
    labels = {int(value): name for value, name in view.labels.items()}
    for number, example in enumerate(examples):

        def note(phi: tuple[float, ...], name: str = example.name) -> Optional[str]:
            row = view.frontier.row(phi)
            scores = row.cases.get(name) if row is not None else None
            known = [score for score in (scores or {}).values() if score is not None]
            return f"{view.metric} {view.score_text(sum(known) / len(known))}" if known else None

        cards, key = view.task.cards(example, number, labels, view.phi_name, note)
        place = "" if len(example.sizes) == 2 else f", axial slice {example.slice_index()} of {example.sizes[2]}"
        parts.append({"title": example.name, "place": place, "cards": cards, "key": key})
    return parts
