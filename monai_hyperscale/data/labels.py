"""From the values in label files to class indices."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type

from monai_hyperscale.errors import DatasetError, ImageError
from monai_hyperscale.io.labels import whole_numbers

__all__ = ["ClassIndex", "ClassIndexd", "index_type"]


def index_type(classes: int) -> torch.dtype:
    """Return the smallest type that holds the indices of so many classes.

    Example:
        >>> index_type(256), index_type(257), index_type(40000)
        (torch.uint8, torch.int16, torch.int32)
    """
    return torch.uint8 if classes <= 2**8 else torch.int16 if classes <= 2**15 else torch.int32


class ClassIndex(Transform):
    """Replace the values of a label map by class indices, and refuse values that are no class.

    Grey-level masks hold 0, 128, 255 rather than 0, 1, 2, and a value that was never declared would otherwise end the
    training with an index error far from its cause. NaN counts as background.

    Args:
        values: value of class 0 (background), 1, 2, …, ascending, such as ``(0, 128, 255)``.

    Example:
        >>> ClassIndex((0, 128, 255))(torch.tensor([[0.0, 255.0, 128.0]]))
        tensor([[0, 2, 1]], dtype=torch.uint8)
    """

    def __init__(self, values: Sequence[int]) -> None:
        self.values = np.asarray(values, dtype=np.int64)
        if self.values.ndim != 1 or len(self.values) < 2 or (np.diff(self.values) <= 0).any():
            raise ValueError(f"values must be two or more ascending whole numbers, got {tuple(values)}.")

    def __call__(self, label: torch.Tensor) -> torch.Tensor:
        """Map label values (1, *sizes) to class indices of the same shape and of the type of :func:`index_type`.

        Raises:
            DatasetError: if a value is no class.
        """
        name = (
            str(label.meta.get("filename_or_obj", "the label map")) if isinstance(label, MetaTensor) else "a label map"
        )
        try:
            found = whole_numbers(np.asarray(label.cpu()), name)
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
        return convert_to_dst_type(torch.from_numpy(index).to(dtype), dst=label, dtype=dtype)[0]


class ClassIndexd(MapTransform):
    """Dictionary form of :class:`ClassIndex`.

    Args:
        keys: label keys.
        values: see :class:`ClassIndex`.
        allow_missing_keys: leave out keys that are not there.
    """

    def __init__(self, keys: KeysCollection, values: Sequence[int], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.index = ClassIndex(values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with class indices under ``keys``."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.index(result[key])
        return result
