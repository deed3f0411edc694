"""A case of a data set to compare a folded network on: one of those that the network was not trained on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from monai.data import MetaTensor

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.data import read_dataset
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.images import read_image
from monai_hyperscale.search.cases import cases_of_part
from monai_hyperscale.tasks.registration.pair_files import read_pairs
from monai_hyperscale.tasks.registration.workload import pairs_of_part

__all__ = ["RealInput"]


@dataclass(frozen=True)
class RealInput:
    """Images of a data set's first test case, or pair of test cases.

    Attributes:
        images: as :func:`monai_hyperscale.io.read_image` gives them: one, or the moving and the fixed one.
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
    def from_dataset(cls, dataset_dir: Union[str, os.PathLike], settings: NetworkSettings) -> RealInput:
        """Read the first test case of a data set; of data that the network was not trained on the first case.

        Args:
            dataset_dir: see :func:`read_dataset`, and :func:`read_pairs` for registration.
            settings: of the network.

        Raises:
            DatasetError: if there is no such case, or the network takes other images.
            ImageError: if an image cannot be read.
        """
        title = Path(dataset_dir).expanduser().resolve().name
        registers = settings.task == "registration"
        found: Any = read_pairs(dataset_dir) if registers else read_dataset(dataset_dir)
        channels = tuple(settings.channels)
        if found.spatial_dims != settings.file_dims or len(found.channels) != len(channels):
            raise DatasetError(
                f"the network takes {settings.file_dims}D images of {len(channels)} channels ({', '.join(channels)}), "
                f"those of {dataset_dir} are {found.spatial_dims}D and have {len(found.channels)}; name data of the "
                "same kind."
            )
        cases = cases_of_part(found.cases, settings.provenance, title)
        if registers:
            pair = next(iter(pairs_of_part(found, cases).sample(1)), None)
            if pair is None:
                raise DatasetError(f"{dataset_dir} has no pair among its test cases; name the two images instead.")
            name, files = pair["name"], [pair["moving"]["image"], pair["fixed"]["image"]]
        else:
            name, files = cases[0]["name"], [cases[0]["image"]]
        images = tuple(read_image(file, len(channels), only_finite=registers) for file in files)
        return cls(images, {"name": title, "part": "test", "case": str(name)})
