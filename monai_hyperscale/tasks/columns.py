"""What a task tells of every φ beside its score and its costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

__all__ = ["Column"]


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
