"""What a task tells of every φ beside its score and its costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

__all__ = ["LABEL_SCORES", "Column"]

#: Scores of two label maps, as the command line takes them; a test holds them equal to those of ``search.metrics``.
LABEL_SCORES = ("dice", "iou", "surface_dice", "hd95", "hausdorff", "assd", "sensitivity", "precision")


@dataclass(frozen=True)
class Column:
    """A number that a task measures on every case, and results show as its mean over cases.

    Attributes:
        name: in files of results.
        title: for people.
        share: whether it is a share, shown in per cent; else it is like the score, with its figures and an interval.
        higher_is_better: ``None`` where φ does not change it, such as what there was before.
    """

    name: str
    title: str
    share: bool = False
    higher_is_better: Optional[bool] = None
