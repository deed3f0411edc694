"""What exports ask of a task: images to compare a folded network on, and its bundle in MONAI's own terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Optional, TypeVar, Union

import torch
from monai.data import MetaTensor

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.data.intensity import NormalizeChannels, channel_kind
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.errors import ExportError
from monai_hyperscale.io.images import read_image

if TYPE_CHECKING:
    from monai_hyperscale.export.source import FoldSource

Settings = TypeVar("Settings", bound=NetworkSettings)


class Folding(ABC, Generic[Settings]):
    """The images that a network of one task takes at once, in words; are the channels of its output classes?"""

    takes: ClassVar[tuple[str, ...]] = ("the image",)
    output_is_classes: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        """Voxels per axis that the network was trained on; ``None`` where its settings do not tell."""
        return None

    @abstractmethod
    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        """Return synthetic images as the network takes them, (C, *sizes)."""

    @abstractmethod
    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        """Return images of files as the network takes them, (1, C, *sizes); if it takes others, ``ExportError``."""

    @abstractmethod
    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        """Read images from as many files as :attr:`takes` has, else ``ExportError``; of one, from its channels."""

    @abstractmethod
    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        """Return name and files of the first test case of a data set, of other data the first; or ``DatasetError``."""

    def read_test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[list[MetaTensor], dict]:
        """Return the images of :meth:`test_case`, and what a manifest says of them: ``name``, ``part``, ``case``."""
        name, files = self.test_case(dataset_dir, bundle)
        return self.read(files), {"name": dataset_dir.expanduser().resolve().name, "part": "test", "case": name}

    @abstractmethod
    def stock_bundle(self) -> Union[StockBundle, str]:
        """Return the bundle in MONAI's own terms, or in words why there can be none."""

    def check_count(self, images: Sequence[Any]) -> None:
        """Raise ``ExportError`` unless there is one image for each of :attr:`takes`."""
        if len(images) != len(self.takes):
            wanted = " and ".join(self.takes)
            raise ExportError(f"a network for {self.settings.task} is compared on {wanted}, got {len(images)}.")


class ImageFolding(Folding[Settings]):
    """One image, prepared by transforms from files as in training."""

    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        settings = self.settings
        image = torch.from_numpy(synthetic_case([seed, 0], settings.spatial_dims, list(sizes))[0])
        # Synthetic anatomy has no Hounsfield units: its values lie in [0, 1].
        channels = ["CT [0, 1]" if channel_kind(name) == "ct" else name for name in settings.channels]
        return NormalizeChannels(channels)(torch.stack([image] * settings.in_channels))

    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        settings, (image,) = self.settings, images
        dims = image.dim() - 1
        if len(image) != settings.in_channels or dims != settings.file_dims:
            raise ExportError(
                f"the image has {len(image)} channels and {dims} axes, but the network takes {settings.in_channels} "
                f"and {settings.file_dims}; name another."
            )
        shared = (settings.channels, settings.spatial_dims, settings.spacing)
        steps = segmentation_preprocessing(*shared, keys=("image",), slices=settings.slices, loaded=True)
        x = steps({"image": image})["image"].as_tensor()[None]
        # Of a volume, for a network for slices, the middle one.
        return x[..., x.shape[-1] // 2] if settings.slices else x

    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        return [read_image(list(paths), self.settings.in_channels)]


class StockBundle(ABC):
    """A bundle of a folded network that names nothing of this package; ``arguments`` of its command, beside folders."""

    arguments: ClassVar[str] = ""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return ``inference.json``."""

    @abstractmethod
    def write_inputs(
        self, folder: Path, images: Sequence[MetaTensor], size: Sequence[int]
    ) -> tuple[list[Path], dict[str, str]]:
        """Write images, or synthetic anatomy of a size; return the files and further arguments of the command."""

    @abstractmethod
    def compare(self, source: FoldSource, files: Sequence[Path], outputs: Path, real: bool) -> dict[str, Any]:
        """Return how well ``outputs`` agree with this package's own for the files, else ``ExportError``."""

    def card_rows(self) -> list[tuple[str, str]]:
        """Return what the model card's table says beside what all networks have."""
        return []

    @abstractmethod
    def card_text(self) -> list[str]:
        """Return paragraphs of the model card: what goes in and comes out, and what this package does otherwise."""
