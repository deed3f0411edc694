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


@dataclass(frozen=True)
class TrainingCases:
    """The cases of a training, by part and as MONAI's data lists have them, and what its network must know of them.

    Of the files are ``label_values``, of every class index, and ``spatial_dims``; ``slices`` says whether the network
    sees them slice by slice. ``provenance`` is for ``model.json``, ``fingerprint`` of the cases' names and split.
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


def facts_of(images: Any, title: str, names: Sequence[Sequence[str]], spatial_dims: int) -> dict[str, Any]:
    """Return what :class:`TrainingCases` says of images for a network, and of their split by the names of its parts."""
    cases = dict(zip(("train", "validation", "test"), map(list, names), strict=True))
    return {
        **{name: getattr(images, name) for name in ("channels", "labels", "label_values", "spatial_dims")},
        "slices": images.spatial_dims > spatial_dims,
        "title": title,
        "provenance": {"data": title, "cases": cases},
        "fingerprint": digest(list(cases.values())),
    }
