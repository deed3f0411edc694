"""What is folded: a bundle's network at one φ, and images like those it is for to compare its files on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import torch
import torch.nn as nn
import torch.nn.functional as F
from monai.data import MetaTensor

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.context import Context
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export.folding import Folding
from monai_hyperscale.export.stock_parts import LEAST_SIZE
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.networks import model_folder, trained_network
from monai_hyperscale.io.files import sha256
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.tasks import task_named

# Voxels along every axis where the bundle names no size.
_USUAL = {2: 128, 3: 64}
# Most voxels that files are compared on at once; larger images are cropped in their middle.
_LARGEST = 2**21
# Longest axis of what is only recorded.
_LONGEST = 2**17


@dataclass(frozen=True)
class FoldSource:
    """A bundle's network at one φ, in float32 on the CPU; ``folder`` is that of ``model.json`` and ``model.pt``."""

    bundle: Path
    folder: Path
    settings: NetworkSettings
    network: HyperNetwork
    context: Context
    plain: nn.Module
    weights_sha256: str

    @classmethod
    def from_bundle(cls, bundle: Union[str, Path], phi: Phi, **numbers: Any) -> FoldSource:
        """Read a bundle and fold its network; arguments and errors as those of ``fold_bundle``."""
        folder = model_folder(bundle)
        settings = read_settings(folder / "model.json", NetworkSettings)
        network = trained_network(folder, settings).eval().requires_grad_(False)
        context = network.context(phi=phi, **numbers)
        plain = network.fold(**context).eval().requires_grad_(False)
        digest = sha256(folder / "model.pt")
        return cls(Path(bundle), folder, settings, network, context, plain, digest)

    @property
    def phi(self) -> tuple[float, ...]:
        """The rescaling factors, one or one per level."""
        return self.context.several("phi")

    @property
    def phi_text(self) -> str:
        """φ, and what else the weights were generated from, as people read it."""
        return ", ".join(f"{name} = {self.context.text(name).replace(',', ', ')}" for name in self.context)

    @cached_property
    def folding(self) -> Folding:
        """The images that the network takes, and its bundle in MONAI's own terms."""
        return task_named(self.settings.task).folding(self.settings)

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

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, *sizes) to (B, C', *sizes) by the hypernetwork itself: what its files are compared with."""
        return self.network(x, **self.context)


class Inputs:
    """Images as the network takes them, of any size: from :meth:`Folding.read`, or synthetic anatomy.

    ``size`` is by default the image's or the training's; another number of axes is an ExportError.
    """

    def __init__(
        self, source: FoldSource, images: Sequence[MetaTensor] = (), size: Optional[Sequence[int]] = None
    ) -> None:
        dims = source.settings.spatial_dims
        primary: Any = source.network.primary
        self._levels: tuple[float, ...] = primary.context["phi"].spread(source.phi)
        self._channels, self._folding, self._real = source.settings.in_channels, source.folding, None
        self.described = "synthetic anatomy"
        if size is not None and len(size) != dims:
            raise ExportError(f"the size has {dims} numbers, one per axis, got {list(size)}.")
        if images:
            source.folding.check_count(images)
            x = source.folding.prepared(images)
            if x[0, 0].numel() > _LARGEST:
                edge = round(_LARGEST ** (1 / dims))
                for axis, n in enumerate(x.shape[2:], 2):
                    x = x.narrow(axis, max(0, (n - edge) // 2), min(n, edge))
            self._real = x.float().contiguous()
            self.described = ", ".join(Path(str(image.meta.get("filename_or_obj", ""))).name for image in images)
        own = source.folding.usual_size if self._real is None else self._real.shape[2:]
        self.size = tuple(int(n) for n in size or own or (_USUAL[dims],) * dims)

    def of(self, sizes: Sequence[int], batch: int = 1) -> torch.Tensor:
        """Return images (batch, C, *sizes): float32."""
        sizes = tuple(sizes)
        if self._real is None:
            place = (slice(None), *(slice(0, n) for n in sizes))
            made = [self._folding.synthetic([max(n, LEAST_SIZE) for n in sizes], seed) for seed in range(batch)]
            return torch.stack([x[place] for x in made])
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
        """Return two empty images, so long that no map of them is one voxel: torch records that as another case."""
        shares = [share for share in self._levels if share > 0]
        long = math.ceil(4 / math.prod(shares)) if shares else 1
        sizes = [max(LEAST_SIZE, n // 2) for n in self.size]
        if long > max(sizes):
            sizes = [LEAST_SIZE] * (len(sizes) - 1) + [min(long, _LONGEST)]
        return torch.zeros(2, self._channels, *sizes)

    def several(self) -> list[torch.Tensor]:
        """Return images of several sizes and batches: the usual size, odd ones, larger ones, and of few voxels."""
        smaller = [max(LEAST_SIZE + 1, (2 * n // 3) | 1) - 2 * (axis % 2) for axis, n in enumerate(self.size)]
        larger = [n + n // 5 + axis for axis, n in enumerate(self.size)]
        few = [5, 3, 4][: len(self.size)]
        return [self.example(), self.of(smaller, batch=2), self.of(larger), self.of(few)]
