"""What is folded: a bundle's network at one φ, and images like those it is for to compare its files on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.data.intensity import NormalizeChannels
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.data.transforms import segmentation_preprocessing
from monai_hyperscale.errors import ExportError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.networks import model_folder, trained_network
from monai_hyperscale.inference.resampling import as_placed, resample, working_grid
from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.io.hashing import sha256
from monai_hyperscale.networks.layers.factor import Phi, as_factors
from monai_hyperscale.tasks.registration.pair_transforms import UnitIntensity
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

__all__ = ["FoldSource", "Inputs"]

# Voxels along every axis where the bundle names no size.
_USUAL = {2: 128, 3: 64}
# Most voxels that files are compared on at once; larger images are cropped in their middle.
_LARGEST = 2**21
# Longest axis of what is only recorded.
_LONGEST = 2**17
# Fewest voxels per axis of synthetic anatomy.
_LEAST = 8


@dataclass(frozen=True)
class FoldSource:
    """A bundle's network at one φ.

    Attributes:
        bundle: the folder that was named.
        folder: that of ``model.json`` and ``model.pt``.
        settings: what the network was trained for.
        network: the hypernetwork, in float32 on the CPU.
        phi: the rescaling factors, one or one per level.
        context: the numbers that the weights are generated from: φ, and λ where the network was trained for several.
        plain: the folded network.
        weights_sha256: of ``model.pt``.
    """

    bundle: Path
    folder: Path
    settings: NetworkSettings
    network: HyperNetwork
    phi: tuple[float, ...]
    context: tuple[float, ...]
    plain: nn.Module
    weights_sha256: str

    @classmethod
    def from_bundle(cls, bundle: Union[str, Path], phi: Phi, regularization: Optional[float] = None) -> FoldSource:
        """Read a bundle and fold its network.

        Args:
            bundle: a bundle, a training's output folder, or a folder with ``model.json`` and ``model.pt`` itself.
            phi: rescaling factor in [0, 1], or one per level.
            regularization: λ, for registration networks trained for several.

        Raises:
            CheckpointError: if there is no trained network, or its files are damaged or do not belong together.
            ValueError: if ``phi`` or ``regularization`` is not valid for the network.
        """
        folder = model_folder(bundle)
        settings = read_settings(folder / "model.json", NetworkSettings)
        if regularization is not None and not isinstance(settings, RegistrationSettings):
            raise ExportError("a weight of the regularisation is for registration networks; leave it out.")
        network = trained_network(folder, settings).eval().requires_grad_(False)
        factors = as_factors(phi)
        context = factors
        if isinstance(settings, RegistrationSettings):
            context = as_factors(settings.context(factors, regularization))
        plain = network.fold(context if len(context) > 1 else context[0]).eval().requires_grad_(False)
        digest = sha256(folder / "model.pt")
        return cls(Path(bundle), folder, settings, network, factors, context, plain, digest)

    @property
    def name(self) -> str:
        """The bundle's name: that of its folder."""
        folder = self.bundle.resolve()
        return folder.parent.name if folder.name == "models" and folder == self.folder.resolve() else folder.name

    @property
    def files(self) -> Path:
        """The bundle's folder, where its licence and configurations are, if it has any."""
        folder = self.folder.resolve()
        return folder.parent if folder.name == "models" else folder

    @property
    def segments(self) -> bool:
        """Whether the channels of the output are labels."""
        return isinstance(self.settings, SegmentationSettings)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes) by the hypernetwork itself: what its files are compared with."""
        return self.network(x, phi=self.context if len(self.context) > 1 else self.context[0])


class Inputs:
    """Images as the network takes them, of any size: from a file's image or image pair, or synthetic anatomy.

    Args:
        source: the network.
        images: as :func:`monai_hyperscale.io.read_image` gives them: one, or the moving and the fixed one; none for
            synthetic anatomy.
        size: voxels per axis; default: the image's, or what the bundle was trained on.

    Raises:
        ExportError: if there are more or fewer images, or ``size`` has another number of axes.
    """

    def __init__(
        self, source: FoldSource, images: Sequence[MetaTensor] = (), size: Optional[Sequence[int]] = None
    ) -> None:
        settings = source.settings
        self.settings: Any = settings
        levels = getattr(source.network.primary, "per_level", None)
        # φ of every level, and λ after them where the network has one, which changes nothing here.
        self._levels: tuple[float, ...] = source.context if levels is None else levels(source.context)
        wanted = 2 if isinstance(settings, RegistrationSettings) else 1
        if images and len(images) != wanted:
            kind = "the moving and the fixed image" if wanted == 2 else "one image"
            raise ExportError(f"a network for {settings.task} is compared on {kind}, got {len(images)}.")
        if size is not None and len(size) != settings.spatial_dims:
            raise ExportError(f"the size has {settings.spatial_dims} numbers, one per axis, got {list(size)}.")
        self._real: Optional[torch.Tensor] = self._prepared(images) if images else None
        self.described = "synthetic anatomy"
        if images:
            self.described = ", ".join(Path(str(image.meta.get("filename_or_obj", ""))).name for image in images)
        self.size: tuple[int, ...] = tuple(size) if size is not None else self._own_size()

    def _own_size(self) -> tuple[int, ...]:
        if self._real is not None:
            return tuple(self._real.shape[2:])
        usual = getattr(self.settings, "roi_size", None) or getattr(self.settings, "sizes", None)
        dims = self.settings.spatial_dims
        return tuple(int(n) for n in usual) if usual else (_USUAL[dims],) * dims

    def of(self, sizes: Sequence[int], batch: int = 1) -> torch.Tensor:
        """Return images (batch, C, *sizes): float32."""
        sizes = tuple(sizes)
        if self._real is None:
            return torch.stack([self._synthetic(sizes, seed) for seed in range(batch)])
        image = self._real
        if tuple(image.shape[2:]) != sizes:
            mode = "bilinear" if len(sizes) == 2 else "trilinear"
            image = F.interpolate(image, size=sizes, mode=mode, align_corners=False)
        # The second of a batch is another image: the first one turned round.
        turned = image.flip(tuple(range(2, image.dim())))
        return torch.cat([turned if index % 2 else image for index in range(batch)])

    def example(self) -> torch.Tensor:
        """Return one image of the usual size."""
        return self.of(self.size)

    def tracing(self) -> torch.Tensor:
        """Return two empty images, so long in one axis that no map of them comes down to a single voxel.

        What is recorded for any size must not begin with that: torch would record it as a case of its own.
        """
        shares = [share for share in self._levels if share > 0]
        long = math.ceil(4 / math.prod(shares)) if shares else 1
        sizes = [max(_LEAST, n // 2) for n in self.size]
        if long > max(sizes):
            sizes = [_LEAST] * (len(sizes) - 1) + [min(long, _LONGEST)]
        return torch.zeros(2, self.settings.in_channels, *sizes)

    def several(self) -> list[torch.Tensor]:
        """Return images of several sizes and batches: the usual size, odd ones, larger ones, and of few voxels."""
        smaller = [max(_LEAST + 1, (2 * n // 3) | 1) - 2 * (axis % 2) for axis, n in enumerate(self.size)]
        larger = [n + n // 5 + axis for axis, n in enumerate(self.size)]
        few = [5, 3, 4][: len(self.size)]
        return [self.example(), self.of(smaller, batch=2), self.of(larger), self.of(few)]

    def _synthetic(self, sizes: tuple[int, ...], seed: int) -> torch.Tensor:
        settings = self.settings
        made = [max(n, _LEAST) for n in sizes]
        parts = []
        for index in range(settings.in_channels):
            # Channels of one image show one anatomy; the two images of a pair show two.
            case = index // len(settings.channels)
            image = torch.from_numpy(synthetic_case([seed, case], settings.spatial_dims, made)[0])
            parts.append(image[tuple(slice(0, n) for n in sizes)])
        x = torch.stack(parts)
        if isinstance(settings, RegistrationSettings):
            return UnitIntensity()(x)
        return NormalizeChannels(settings.channels, window=(0.0, 1.0))(x)

    def _prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        if isinstance(self.settings, RegistrationSettings):
            x = self._pair(images)
        else:
            x = self._image(images[0])
        return _middle(x.float().contiguous(), self._own_window(x))

    def _own_window(self, x: torch.Tensor) -> tuple[int, ...]:
        sizes = tuple(x.shape[2:])
        if x[0, 0].numel() <= _LARGEST:
            return sizes
        edge = round(_LARGEST ** (1 / len(sizes)))
        return tuple(min(n, edge) for n in sizes)

    def _image(self, image: MetaTensor) -> torch.Tensor:
        settings = self.settings
        dims = image.dim() - 1
        if len(image) != settings.in_channels or dims != settings.file_dims:
            raise ExportError(
                f"the image has {len(image)} channels and {dims} axes, but the network takes {settings.in_channels} "
                f"and {settings.file_dims}; name another."
            )
        loading = segmentation_preprocessing(
            settings.channels,
            settings.spatial_dims,
            settings.spacing,
            keys=("image",),
            slices=settings.slices,
            ct_window=settings.ct_window,
        )
        steps = Compose([part for part in loading.transforms if not isinstance(part, LoadImaged)])
        x = steps({"image": image})["image"].as_tensor()[None]
        return x[..., x.shape[-1] // 2] if settings.slices else x

    def _pair(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        settings, scale = self.settings, UnitIntensity()
        placed = [as_placed(image, settings.spatial_dims) for image in images]
        scaled = [MetaTensor(scale(image.as_tensor()), affine=image.affine) for image in placed]
        grid = working_grid(grid_of(placed[1]), settings.spacing, settings.sizes)
        x = torch.cat([resample(image, grid).as_tensor() for image in scaled])[None]
        if x.shape[1] != settings.in_channels:
            raise ExportError(f"the images have {x.shape[1]} channels together, expected {settings.in_channels}.")
        return x


def _middle(x: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    for axis, n in enumerate(sizes):
        x = x.narrow(2 + axis, (x.shape[2 + axis] - n) // 2, n)
    return x
