"""Volumes of the labels of a label map."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from monai_hyperscale.data.labels import label_counts


def label_volumes(label: np.ndarray, affine: Optional[np.ndarray], names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Measure the labels, whole numbers of at least 0, that have a name by value, absent ones included, in that order.

    ``affine`` (4, 4) is from voxel indices to millimetres; a 2D image counts as one slice of the thickness it tells.
    ``None``: voxels have no size, and ``volume`` is ``None``.

    Example:
        >>> label_volumes(np.array([[0, 1], [1, 1]]), np.diag([2.0, 2.0, 1.0, 1.0]), {1: "tumour", 2: "oedema"})[0]
        {'label': 1, 'name': 'tumour', 'voxels': 3, 'volume': 12.0}
    """
    voxel = None if affine is None else abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])))
    found = label_counts(label)
    counts = {value: found.get(value, 0) for value in sorted(names)}
    return [
        {"label": value, "name": names[value], "voxels": count, "volume": None if voxel is None else count * voxel}
        for value, count in counts.items()
    ]


def volume_table(entries: Sequence[Mapping[str, Any]]) -> str:
    r"""Return volumes, as ``segment`` collects them, as comma-separated values: a line per label and image."""

    def joined(value: Any) -> Any:
        return ";".join(map(str, value)) if isinstance(value, list) else value

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "output", "phi", "label", "name", "voxels", "volume_mm3"])
    for entry in entries:
        of_image = [joined(entry[name]) for name in ("image", "output", "phi")]
        for label in entry["labels"]:
            writer.writerow([*of_image, *(label[name] for name in ("label", "name", "voxels", "volume"))])
    return text.getvalue()
