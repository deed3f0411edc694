"""What validation and report say of predicted fields: overlap, error, likeness, folding and smoothness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from monai.metrics import Cumulative

from monai_hyperscale.losses import SquaredGradient
from monai_hyperscale.registration import folded_share, warp
from monai_hyperscale.search.correlation import correlation
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.search.statistics import mean_score
from monai_hyperscale.training.validation import PhiResult, known_values

__all__ = ["PairMeasures", "PhiRegistration"]

# Measures of every pair; the end-point error of pairs with known displacement and Dice per label follow them.
_ALWAYS = ("correlation_before", "correlation", "folded", "smoothness")
_ERROR = ("error_before", "error")


@dataclass(frozen=True)
class PhiRegistration(PhiResult):
    """What registration at one φ measured over a set of pairs.

    Args:
        phi: the rescaling factor, one or one per level; λ after it for networks that know λ.
        values: (pairs, measures); NaN where a pair has no such value, such as Dice of a label that it lacks.
        names: of the measures, see :class:`PairMeasures`.
        score: what :attr:`mean` is.

    Example:
        >>> result = PhiRegistration(0.5, np.array([[4.0, 1.0]]), ("error_before", "error"), "error_removed")
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
    """Measure predicted fields, one row per pair.

    - ``correlation_before`` and ``correlation`` of the fixed with the moving and the moved image, in [−1, 1];
    - ``folded``: share of voxels with a Jacobian determinant of 0 or less;
    - ``smoothness``: mean squared difference of the displacement of neighbours, see :class:`SquaredGradient`;
    - ``error_before`` and ``error``: mean end-point error in voxels, of no displacement and of the field;
    - ``dice_before NAME`` and ``dice NAME`` of every label, warped to the nearest.

    The score is ``error_removed`` where displacements are known, which is the share of the end-point error that is
    gone, else ``dice`` where there are labels, else ``correlation``.

    Args:
        labels: name of every class index but the background; empty where there are no labels.
        known_fields: whether the pairs come with their true displacement.

    Example:
        >>> measures = PairMeasures({1: "disc"})
        >>> measures.score, measures.names[-2:]
        ('dice', ('dice_before disc', 'dice disc'))
        >>> label = torch.zeros(1, 1, 9, 7)
        >>> label[..., 2:5, 2:5] = 1
        >>> image = label + torch.rand(1, 1, 9, 7)
        >>> pair = {"moving": image, "fixed": image, "moving_label": label, "fixed_label": label}
        >>> row = measures(torch.zeros(1, 2, 9, 7), pair)
        >>> [round(float(value), 4) for value in row[0]]
        [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    """

    def __init__(self, labels: Mapping[int, str], known_fields: bool = False) -> None:
        super().__init__()
        self.labels = dict(sorted(labels.items()))
        self.known_fields = known_fields
        self._smoothness = SquaredGradient()
        dice = [f"{stage} {name}" for name in self.labels.values() for stage in ("dice_before", "dice")]
        self.names = (*_ALWAYS, *(_ERROR if known_fields else ()), *dice)
        self.score = "error_removed" if known_fields else "dice" if self.labels else "correlation"

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
        return torch.tensor(self.result(0.0, self.get_buffer()).mean)

    def result(self, phi: Any, rows: torch.Tensor) -> PhiRegistration:
        """Return the rows of one φ by name."""
        return PhiRegistration(phi, rows.cpu().numpy(), self.names, self.score)

    def _measure(self, field: torch.Tensor, pair: Mapping[str, torch.Tensor]) -> torch.Tensor:
        moving, fixed = pair["moving"].float(), pair["fixed"].float()
        values: list[Any] = [
            correlation(moving[0], fixed[0]),
            correlation(warp(moving, field)[0], fixed[0]),
            folded_share(field),
            self._smoothness(field),
        ]
        if self.known_fields:
            known = pair["field"].float()
            values += [torch.linalg.vector_norm(other, dim=1).mean() for other in (known, field - known)]
        if self.labels:
            values += self._dice(field, pair)
        return torch.tensor(
            [[float("nan") if value is None else float(value) for value in values]], dtype=torch.float64
        )

    def _dice(self, field: torch.Tensor, pair: Mapping[str, torch.Tensor]) -> list[Optional[float]]:
        moving, fixed = pair["moving_label"].float(), pair["fixed_label"].long()
        stages = [
            METRICS["dice"](label[0].round().long(), fixed[0], list(self.labels))
            for label in (moving, warp(moving, field, mode="nearest"))
        ]
        return [scores[place] for place in range(len(self.labels)) for scores in stages]
