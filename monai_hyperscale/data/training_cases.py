"""What a bundle's configuration asks of its data set, whatever the task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from monai_hyperscale.io.files import digest
from monai_hyperscale.io.seen import SeenImages

__all__ = ["TrainingCases", "folder_or_made", "split_facts"]


@dataclass(frozen=True)
class TrainingCases:
    """The cases of a training, and what the network that learns from them must know.

    Args:
        folder: of the data set.
        train: cases to learn from, as MONAI's data lists have them.
        validation: cases to choose the best weights by.
        test: cases nothing depends on, for the report.
        channels: names of the channels of an image.
        labels: names of the class indices but the background; empty where there are no labels.
        label_values: value of every class index in the label files.
        spatial_dims: 2 or 3, of the files.
        slices: whether the network sees them slice by slice.
        seen: voxel size, extent and orientation of the training cases.
        title: what the data are, for people.
        provenance: where they came from and how they were split, for ``model.json``.
        fingerprint: of the cases' names and their split.
    """

    folder: Path
    train: Any
    validation: Any
    test: Any
    channels: tuple[str, ...]
    labels: dict[int, str]
    label_values: tuple[int, ...]
    spatial_dims: int
    slices: bool
    seen: SeenImages | None
    title: str
    provenance: dict[str, Any]
    fingerprint: str


def folder_or_made(dataset_dir: str | Path | None, made: str, write: Callable[[], Path]) -> tuple[Path, str]:
    """Return a data set's folder and title; where none is named, ``write`` makes one, once for all processes."""
    if dataset_dir is not None:
        return Path(dataset_dir), Path(dataset_dir).resolve().name
    logging.getLogger(__name__).info("No dataset_dir is given: training on %s, which shows nothing real.", made)
    with idist.one_rank_first():
        return write(), made


def split_facts(title: str, parts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what :class:`TrainingCases` says of a split by the names of its three parts' cases."""
    cases = dict(zip(("train", "validation", "test"), map(list, parts), strict=True))
    return {"title": title, "provenance": {"data": title, "cases": cases}, "fingerprint": digest(list(cases.values()))}
