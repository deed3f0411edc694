"""A case of a data set to compare a folded network on: one of those that the network was not trained on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from monai.data import MetaTensor

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.tasks import task_named

__all__ = ["RealInput"]


@dataclass(frozen=True)
class RealInput:
    """Images of a data set's first test case.

    Attributes:
        images: as :func:`monai_hyperscale.io.read_image` gives them, one for each that the network takes at once.
        data: ``name`` of the data set, ``part`` and ``case``, ready for JSON.

    Example:
        >>> import tempfile
        >>> from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
        >>> from monai_hyperscale.data import write_synthetic_dataset
        >>> settings = SegmentationSettings(2, ("grey",), {1: "structure 1", 2: "structure 2"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset = write_synthetic_dataset(folder + "/shapes", spatial_dims=2, cases=4, size=24)
        ...     RealInput.from_dataset(dataset, settings).data
        {'name': 'shapes', 'part': 'test', 'case': 'case_000'}
    """

    images: tuple[MetaTensor, ...]
    data: dict[str, Any]

    @classmethod
    def from_dataset(
        cls, dataset_dir: Union[str, os.PathLike], settings: NetworkSettings, bundle: Optional[Path] = None
    ) -> RealInput:
        """Read the first test case of a data set; of data that the network was not trained on the first case.

        Args:
            dataset_dir: as networks of the task are measured on.
            settings: of the network.
            bundle: its folder, where what its training used may lie.

        Raises:
            DatasetError: if there is no such case, or the network takes other images.
            ImageError: if an image cannot be read.
        """
        title = Path(dataset_dir).expanduser().resolve().name
        folding = task_named(settings.task).folding(settings)
        name, files = folding.test_case(Path(dataset_dir), bundle)
        return cls(tuple(folding.read(files)), {"name": title, "part": "test", "case": name})
