"""Scores of classes: whether the greatest is the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.metrics import Cumulative

__all__ = ["ACCURACY", "ClassScore", "Correct"]


@dataclass(frozen=True)
class ClassScore:
    """A score of classes.

    Args:
        key: as the command line takes it.
        name: for people.
        higher_is_better: whether more of it is better.

    Example:
        >>> ACCURACY(torch.tensor([0.1, 2.0, 0.3]), 1)
        1.0
    """

    key: str
    name: str
    higher_is_better: bool = True

    def __call__(self, scores: torch.Tensor, wanted: int) -> float:
        """Return 1 where the greatest of the scores (classes,) is of the class ``wanted``, else 0."""
        return float(int(scores.argmax()) == wanted)


ACCURACY = ClassScore("accuracy", "accuracy")


class Correct(Cumulative):
    """Measure the classes of a validation, one row per case; what :class:`PhiValidation` asks for.

    Example:
        >>> Correct()([torch.tensor([0.0, 1.0])], [0])
        tensor([[0.]], dtype=torch.float64)
    """

    def __call__(self, predicted: Sequence[torch.Tensor], wanted: Sequence[Any]) -> torch.Tensor:
        """Measure and keep the scores (classes,) of cases against their classes; return (B, 1) in float64."""
        rows = [[ACCURACY(scores, int(index))] for scores, index in zip(predicted, wanted, strict=True)]
        found = torch.tensor(rows, dtype=torch.float64)
        self.extend(found)
        return found

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the share of cases that are right."""
        return torch.as_tensor(self.get_buffer()).mean()
