"""Predicted label maps to files, on the grid and with the header of the image they belong to."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from monai_hyperscale.io import read_source, split_suffix, write_label
from monai_hyperscale.io.labels import whole_numbers

__all__ = ["SaveLabeld"]


class SaveLabeld(MapTransform):
    """Write label maps with :func:`monai_hyperscale.io.write_label`, as ``segment`` on the command line does.

    The image's file is the one that the label map's metadata name (``filename_or_obj``), the first of several channel
    files: its header is kept. Files are called as the case, which is the data's ``name``, else as the image's file;
    ``.nii.gz``, or ``.png`` for 2D image files. A file that is there is replaced.

    Args:
        keys: of label maps (1, *sizes) on the grid of the file.
        output_dir: where the files go.
        name_key: of the case's name.
    """

    def __init__(self, keys: KeysCollection, output_dir: str | Path, name_key: str = "name") -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.name_key = name_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Write the label maps under ``keys``; return the data as they are.

        Raises:
            ImageError: if the image's file is no longer there.
            ValueError: if a label map is not on its grid, or has values that its format cannot hold.
        """
        for key in self.key_iterator(data):
            source = read_source(data[key].meta["filename_or_obj"])
            name = data.get(self.name_key) or split_suffix(source.path)[0]
            label = torch.as_tensor(data[key])[0].cpu().numpy()
            suffix = ".png" if source.is_picture else ".nii.gz"
            write_label(whole_numbers(label, str(source.path)), self.output_dir / f"{name}{suffix}", source)
        return dict(data)
