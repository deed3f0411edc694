"""What a validation says of predicted fields: their error, or the overlap or likeness of what they move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from monai.metrics import Cumulative

from monai_hyperscale.context import Context
from monai_hyperscale.registration import warp
from monai_hyperscale.search.correlation import correlation
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.search.statistics import mean_score
from monai_hyperscale.training.validation import PhiResult, known_values

__all__ = ["PairMeasures", "PhiRegistration"]


@dataclass(frozen=True)
class PhiRegistration(PhiResult):
    """What registration at one φ measured over a set of pairs.

    Args:
        context: see :class:`PhiResult`.
        values: (pairs, measures); NaN where a pair has no such value, such as Dice of a label that it lacks.
        names: of the measures, see :class:`PairMeasures`.
        score: what :attr:`mean` is.

    Example:
        >>> values = np.array([[4.0, 1.0]])
        >>> result = PhiRegistration(Context(phi=0.5), values, ("error_before", "error"), "error_removed")
        >>> result.mean
        0.75
    """

    values: np.ndarray
    names: tuple[str, ...]
    score: str

    def average(self, name: str) -> float:
        """Return the mean of a measure over the pairs that have it, of ``dice`` over the labels of each pair first.

        NaN where none has.
        """
        columns = [index for index, known in enumerate(self.names) if known == name or known.startswith(f"{name} ")]
        mean = mean_score(known_values(self.values[:, columns]))
        return float("nan") if mean is None else mean

    @property
    def mean(self) -> float:
        """The score that the best weights are chosen by: the greater, the better."""
        if self.score == "error_removed":
            return 1 - self.average("error") / max(self.average("error_before"), 1e-12)
        return float(np.nan_to_num(self.average(self.score)))


class PairMeasures(Cumulative):
    """Measure what the best weights are chosen by, one row per pair.

    The score is ``error_removed`` where displacements are known, which is the share of the end-point error that is
    gone, else ``dice`` where there are labels, else ``correlation``. Rows hold what it is made of:

    - ``error_before`` and ``error``: mean end-point error in voxels, of no displacement and of the field;
    - ``dice NAME`` of every label, warped to the nearest;
    - ``correlation`` of the fixed and the moved image, see :func:`correlation`.

    Args:
        labels: name of every class index but the background; empty where there are no labels.
        known_fields: whether the pairs come with their true displacement.

    Example:
        >>> measures = PairMeasures({1: "disc"})
        >>> measures.score, measures.names
        ('dice', ('dice disc',))
        >>> label = torch.zeros(1, 1, 9, 7)
        >>> label[..., 2:5, 2:5] = 1
        >>> image = label + torch.rand(1, 1, 9, 7)
        >>> pair = {"moving": image, "fixed": image, "moving_label": label, "fixed_label": label}
        >>> measures(torch.zeros(1, 2, 9, 7), pair)
        tensor([[1.]], dtype=torch.float64)
    """

    def __init__(self, labels: Mapping[int, str], known_fields: bool = False) -> None:
        super().__init__()
        self.labels = dict(sorted(labels.items()))
        self.known_fields = known_fields
        self.score = "error_removed" if known_fields else "dice" if self.labels else "correlation"
        dice = tuple(f"dice {name}" for name in self.labels.values())
        self.names = ("error_before", "error") if known_fields else dice or ("correlation",)

    def __call__(self, fields: torch.Tensor, pairs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Measure a batch and keep its rows.

        Args:
            fields: (B, D, *sizes), voxels.
            pairs: ``moving`` and ``fixed``, (B, C, *sizes), ``moving_label`` and ``fixed_label``, (B, 1, *sizes), and
                ``field``, (B, D, *sizes), as :class:`PairMeasures` was told.

        Returns:
            (B, measures) in float64, in the order of :attr:`names`.
        """
        rows = torch.cat(
            [
                self._measure(field[None], {name: value[index, None] for name, value in pairs.items()})
                for index, field in enumerate(fields.detach().float())
            ]
        )
        self.extend(rows)
        return rows

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the score over all rows kept."""
        return torch.tensor(self.result(Context(phi=0.0), self.get_buffer()).mean)

    def result(self, context: Context, rows: torch.Tensor) -> PhiRegistration:
        """Return the rows of one context by name."""
        return PhiRegistration(context, rows.cpu().numpy(), self.names, self.score)

    def _measure(self, field: torch.Tensor, pair: Mapping[str, torch.Tensor]) -> torch.Tensor:
        values: list[Optional[float]]
        if self.known_fields:
            known = pair["field"].float()
            values = [float(torch.linalg.vector_norm(other, dim=1).mean()) for other in (known, field - known)]
        elif self.labels:
            moved = warp(pair["moving_label"].float(), field, mode="nearest")
            values = METRICS["dice"](moved[0].round().long(), pair["fixed_label"][0].long(), list(self.labels))
        else:
            values = [correlation(warp(pair["moving"].float(), field)[0], pair["fixed"][0])]
        row = [float("nan") if value is None else value for value in values]
        return torch.tensor([row], dtype=torch.float64)
