"""The values of label maps: how many voxels have each, and the class indices that networks see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.utils import convert_to_dst_type

from monai_hyperscale.data.reading import Each
from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.io.labels import whole_numbers

# Voxels counted at once: numpy makes whole numbers of eight bytes of them.
_CHUNK = 2**20


def label_counts(label: np.ndarray) -> dict[int, int]:
    """Return how many voxels of a label map have each of the values that occur, in ascending order."""
    flat = label.ravel(order="K")
    if flat.min() < 0 or flat.max() >= 2**16:
        values, counts = np.unique(flat, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    # Many times faster than sorting, and nearly all label maps are of this kind.
    total = np.zeros(int(flat.max()) + 1, dtype=np.int64)
    for start in range(0, flat.size, _CHUNK):
        total += np.bincount(flat[start : start + _CHUNK].astype(np.int64), minlength=len(total))
    return {value: int(total[value]) for value in np.flatnonzero(total).tolist()}


def index_type(classes: int) -> torch.dtype:
    """Return the smallest type that holds the indices of so many classes."""
    return torch.uint8 if classes <= 2**8 else torch.int16 if classes <= 2**15 else torch.int32


class ClassIndexd(Each):
    """Replace the values of label maps (1, *sizes) by class indices, and refuse values that are no class.

    Grey-level masks hold 0, 128, 255 rather than 0, 1, 2, and a value that was never declared would otherwise end the
    training with an index error far from its cause. NaN counts as background. Indices are of the smallest type, and
    ``values`` those of class 0 (background), 1, 2, …, ascending, such as ``(0, 128, 255)``.

    Example:
        >>> ClassIndexd("label", (0, 128, 255))({"label": torch.tensor([[0.0, 255.0, 128.0]])})["label"]
        tensor([[0, 2, 1]], dtype=torch.uint8)
    """

    def __init__(self, keys: KeysCollection, values: Sequence[int]) -> None:
        super().__init__(keys)
        self.values = np.asarray(values, dtype=np.int64)
        if self.values.ndim != 1 or len(self.values) < 2 or (np.diff(self.values) <= 0).any():
            raise ValueError(f"values must be two or more ascending whole numbers, got {tuple(values)}.")

    def each(self, image: torch.Tensor) -> torch.Tensor:
        """Map label values to class indices; a :class:`DatasetError` names a value that is no class."""
        name = str(getattr(image, "meta", {}).get("filename_or_obj", "a label map"))
        try:
            found = whole_numbers(np.asarray(image.cpu()), name)
        except ImageError as error:
            raise DatasetError(str(error)) from error
        index = np.searchsorted(self.values, found).clip(max=len(self.values) - 1)
        unknown = self.values[index] != found
        if unknown.any():
            raise DatasetError(
                f"{name} holds the value {int(found[unknown][0])}, which is not one of the data set's label values "
                f"{self.values.tolist()}; correct the file, or declare the label in dataset.json."
            )
        dtype = index_type(len(self.values))
        return convert_to_dst_type(torch.from_numpy(index).to(dtype), dst=image, dtype=dtype)[0]
