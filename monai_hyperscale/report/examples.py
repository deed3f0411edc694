"""Cases to show in a report, and the slice of them that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monai_hyperscale.errors import ImageError
from monai_hyperscale.search.results import Frontier
from monai_hyperscale.search.workload import Workload, as_phi

__all__ = ["Example", "example_of"]

# φ at which a report shows an example.
_SHOWN = 5


@dataclass(frozen=True)
class Example:
    """One case of the data set with what the network makes of it at several φ.

    Volumes are expected in RAS order, of which an axial slice is shown; 2D images as Pillow's axes (width, height).

    Args:
        name: of the case, as in the frontier's rows, or any other.
        images: those that the task shows, and its ``label`` map of reference where it has one. Arrays of 2 or 3 axes,
            of one shape.
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
        """Return the index along the last axis of a volume that is shown; 0 for 2D.

        That with the most of the reference (else of the predictions), several labels rather than much of one; the
        middle where there are no labels.
        """
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
        """Return the slice of an array of the example's shape as (rows, columns) of a picture.

        Volumes count up from the patient's back and the picture's foot, 2D images from its head.
        """
        array = np.asarray(array)
        return array.T if array.ndim == 2 else array[:, :, self.slice_index()].T[::-1]


def example_of(workload: Workload, frontier: Frontier) -> Example:
    """Return the first case of what was measured, at a few φ spread over the frontier's.

    Args:
        workload: network and cases.
        frontier: what was measured of them.
    """
    phis = [row.phi for row in frontier.rows]
    places = {round(place * (len(phis) - 1) / (_SHOWN - 1)) for place in range(_SHOWN)}
    runs = {phis[place]: workload.run(as_phi(phis[place])) for place in sorted(places)}
    images, predictions = workload.example(0, runs)
    return Example(workload.names[0], images, predictions)
