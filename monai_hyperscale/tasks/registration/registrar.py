"""A trained network as a function from two images to the field that lays one on the other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from monai.data import MetaTensor

from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.devices import first_that_fits, timed
from monai_hyperscale.inference.inferers import PhiInferer, channels_last
from monai_hyperscale.inference.networks import TrainedNetwork
from monai_hyperscale.inference.resampling import as_placed, move_field, resample, working_grid
from monai_hyperscale.io.fields import to_itk, write_field
from monai_hyperscale.io.grids import Grid, grid_of, in_ras, overlap, reordered
from monai_hyperscale.io.images import ImageSource, image_source
from monai_hyperscale.losses import RegistrationLoss
from monai_hyperscale.networks.layers.cpu_convolutions import CPUConvolutions
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.registration.affine import align_affine, align_centres
from monai_hyperscale.registration.fields import Residual, folded_share, integrate, invert, resize_field
from monai_hyperscale.registration.warping import warp
from monai_hyperscale.search.metrics import correlation
from monai_hyperscale.tasks.registration.instance_optimization import optimize_instance
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

#: How the images are laid on each other first: as their affines say, by their middles, or by an affine alignment.
STARTS = ("header", "centres", "affine")

#: What comes out: the network's field, the alignment at the start alone, or the better of the two.
KEEP = ("better", "start", "network")

_LOGGER = logging.getLogger(__name__)

# Grids to try, each of an eighth of the voxels, where memory is short.
_TRIES = 3

Both = dict[str, MetaTensor]


@dataclass(frozen=True)
class Registration:
    """How one image goes onto another.

    Args:
        moved: the moving image on the fixed image's grid, (C, *fixed sizes).
        field: from the fixed image's points to the moving one's, the alignment at the start included: float32
            (D, *fixed sizes), voxels of the fixed image's grid, with its affine.
        start: (4, 4), the alignment at the start alone, from millimetres of the fixed image to those of the moving one.
        report: sizes, φ, seconds, folded share and more, ready for JSON. ``correlation`` is that of the images as the
            network sees them: ``before`` or, where these were aligned, at the ``start``, and ``after``.
    """

    moved: MetaTensor
    field: MetaTensor
    start: np.ndarray
    report: dict[str, Any]
    _sources: tuple[ImageSource, ImageSource]
    _moving_grid: Grid
    # What the network gave, and its grid: the displacement, and where it was integrated its velocity.
    _grid: Grid
    _displacement: torch.Tensor
    _velocity: Optional[torch.Tensor]
    _steps: int

    def apply(self, image: MetaTensor, nearest: bool = False, outside: float = 0.0) -> MetaTensor:
        """Resample another image (C, *sizes) of the moving subject, on any grid, onto the fixed image's grid.

        Linear, or ``nearest`` for label maps; ``outside`` is the value of what lies outside the image.
        """
        placed = as_placed(image, self.field.dim() - 1)
        return resample(placed, grid_of(self.field), field=self.field, nearest=nearest, outside=outside)

    def onto_fixed(
        self, image: MetaTensor, matrix: Optional[np.ndarray] = None, nearest: bool = False, outside: float = 0.0
    ) -> MetaTensor:
        """Resample an image onto the fixed image's grid by a matrix alone, such as :attr:`start`; see :meth:`apply`."""
        placed = as_placed(image, self.field.dim() - 1)
        return resample(placed, grid_of(self.field), matrix, nearest=nearest, outside=outside)

    def write_field(self, path: Union[str, Path], inverse: bool = False) -> None:
        """Write the field, or :attr:`inverse`, for ITK to apply to the images' files, see :func:`write_field`."""
        field = self.inverse[0] if inverse else self.field
        there, here = (to_itk(source) for source in (self._sources[::-1] if inverse else self._sources))
        write_field(field, path, here @ np.asarray(field.affine), there @ np.linalg.inv(here))

    @cached_property
    def inverse(self) -> tuple[MetaTensor, Residual]:
        """The field from the moving image's points to the fixed one's, on the moving image's grid, and its residual.

        A velocity is integrated backwards; a displacement is inverted numerically, see :func:`invert`. The residual is
        that of the network's own grid.
        """
        if self._velocity is None:
            inverse, residual = invert(self._displacement)
        else:
            inverse = resize_field(integrate(-self._velocity, self._steps), list(self._grid.sizes))
            residual = Residual.of(self._displacement, inverse)
        field = move_field(inverse[0], self._grid, self._moving_grid, before=np.linalg.inv(self.start))
        return MetaTensor(field, affine=torch.tensor(self._moving_grid.affine)), residual


class Registrar(TrainedNetwork):
    """Registers pairs of images with folded networks: plain networks for one φ each, made at the first pair and kept.

    The images may have any sizes, spacings and orientations; the moving one is resampled to the fixed one's grid for
    the network, and from its own voxels, once, for the result. Several threads may call it at once.

    Args:
        max_voxels: pairs whose grid has more voxels go through the network on a coarser one.
        precision: ``fp32``, ``bf16`` or ``fp16``, the autocast type of the network; fields stay float32.
        force: take images that are far outside of what the network was trained on, with a warning in the log.
        keep: one of :data:`KEEP`; the better by the similarity that the network was trained with.
        others: see :class:`TrainedNetwork`.

    Example:
        >>> from monai_hyperscale.bundle.settings import build_network
        >>> settings = RegistrationSettings(3, ("MRI",), network={"features": (4, 4)}, head_features=4)
        >>> moving, fixed = MetaTensor(torch.rand(1, 6, 9, 5)), MetaTensor(torch.rand(1, 11, 7, 5))
        >>> Registrar(settings, build_network(settings)).register(moving, fixed, phi=0.3).field.shape
        torch.Size([3, 11, 7, 5])
    """

    kind = RegistrationSettings

    def __init__(
        self,
        settings: RegistrationSettings,
        network: HyperNetwork,
        device: Union[str, torch.device] = "cpu",
        max_voxels: int = 2**24,
        precision: str = "fp32",
        force: bool = False,
        keep: str = "better",
    ) -> None:
        if keep not in KEEP:
            raise RegistrationError(f"keep must be one of {', '.join(KEEP)}, got {keep!r}.")
        super().__init__(settings, network, device)
        self._autocast = PhiInferer(precision=precision).autocast
        self.max_voxels = max_voxels
        self.force = force
        self.keep = keep
        self._scale = UnitIntensity()

    def register(
        self,
        moving: MetaTensor,
        fixed: MetaTensor,
        phi: Phi = 0.5,
        start: str = "header",
        instance_steps: int = 0,
        regularization: Optional[float] = None,
    ) -> Registration:
        """Register one pair of images (C, *sizes), as :func:`monai_hyperscale.io.read_image` gives them.

        ``phi`` is a rescaling factor in [0, 1], or one per level, ``start`` one of :data:`STARTS`, ``instance_steps``
        those of :func:`optimize_instance` after the network, ``regularization`` λ, for networks trained for several.

        Raises:
            RegistrationError: if the images do not fit the network or each other, have nothing in common where they
                lie, or hold one value only or values that are not finite.
            ImageError: if one is far outside of what the network was trained on.
            ValueError: if ``phi``, ``regularization`` or ``start`` is not valid.
        """
        if start not in STARTS:
            raise RegistrationError(f"start must be one of {', '.join(STARTS)}, got {start!r}.")
        context = self.settings.context(phi=phi, regularization=regularization)
        network = self._folded.at(**context)
        both = {"moving": moving, "fixed": fixed}
        names = {kind: str(image.meta.get("filename_or_obj") or f"the {kind} image") for kind, image in both.items()}
        placed = {kind: self._checked(image, names[kind]) for kind, image in both.items()}
        stored = {kind: grid_of(image) for kind, image in placed.items()}
        # Whatever the order of a file's axes, what is computed is the same to the last bit.
        images = {kind: _in_ras(image) for kind, image in placed.items()}
        grids = {kind: grid_of(image) for kind, image in images.items()}
        told = [self.settings.check_seen(names[kind], grid, self.force) for kind, grid in grids.items()]
        unlike = [sentence for sentence in told if sentence]
        seconds: dict[str, float] = {}
        # No labels and no second field here.
        options = {**self.settings.loss, "dice_weight": 0.0}
        if "regularization" in context:
            options["weight"] = context["regularization"]
        loss, steps = RegistrationLoss(**options), self.settings.velocity_steps
        with timed(seconds, "alignment"):
            scaled = {kind: _like(image, self._scale(image.as_tensor())) for kind, image in images.items()}
            matrix = _start_matrix(start, scaled, grids)
        shared = overlap(grids["moving"], grids["fixed"], matrix)
        if shared == 0:
            raise RegistrationError(
                f"{names['moving']} and {names['fixed']} lie in different places and have no point in common; lay "
                "their centres on each other, or align them by an affine transform first."
            )
        grid, seen, raw = self._predict(network, scaled, grids["fixed"], matrix, seconds)

        def displacement(predicted: torch.Tensor) -> torch.Tensor:
            return resize_field(integrate(predicted, steps) if steps else predicted, list(grid.sizes))

        with torch.no_grad(), timed(seconds, "comparison"):
            fields = {"start": seen["moving"], "network": warp(seen["moving"], displacement(raw).cpu())}
            alike = {name: float(loss.similarity(image, seen["fixed"])) for name, image in fields.items()}
        kept = self._kept(alike)
        if kept == "start":
            raw = torch.zeros_like(raw)
        report: dict[str, Any] = {"kept": kept, "similarity_loss": alike}
        if instance_steps:
            with timed(seconds, "instance_optimization"):
                target = {kind: image.to(self.device) for kind, image in seen.items()}
                refined = first_that_fits(
                    lambda loss: optimize_instance(raw, target, loss, instance_steps, displacement),
                    [loss],
                    "the optimisation of this pair",
                )
            raw = refined.field
            losses = {"loss_before": refined.before, "loss_after": refined.after}
            report["instance_optimization"] = {"steps": instance_steps, **losses}
        with torch.no_grad(), timed(seconds, "resampling"):
            inner = displacement(raw).cpu()
            voxels = move_field(inner[0], grid, grids["fixed"], after=matrix)
            turned = reordered(voxels, grids["fixed"], stored["fixed"], vectors=True)
            field = MetaTensor(turned, affine=torch.tensor(stored["fixed"].affine))
            moved = resample(images["moving"], stored["fixed"], field=field, outside=float(images["moving"].min()))
        each = {**stored, "network": grid}
        lengths = torch.linalg.vector_norm(inner[0], dim=0)
        report = {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in context.items()},
            "start": {"kind": start, "matrix": matrix.tolist(), "overlap": shared},
            "sizes": {kind: list(one.sizes) for kind, one in each.items()},
            "spacing_mm": {kind: list(one.spacing) for kind, one in each.items()},
            **({"unlike_training": unlike} if unlike else {}),
            "folded_share": float(folded_share(voxels[None])),
            "displacement_voxels": {"mean": float(lengths.mean()), "max": float(lengths.max())},
            "correlation": {
                "before" if start == "header" else "start": correlation(seen["moving"][0], seen["fixed"][0]),
                "after": correlation(warp(seen["moving"], inner)[0], seen["fixed"][0]),
            },
            **report,
            "seconds": {**seconds, "total": sum(seconds.values())},
        }
        sources = (image_source(moving), image_source(fixed))
        velocity = raw.cpu() if steps else None
        return Registration(moved, field, matrix, report, sources, stored["moving"], grid, inner, velocity, steps)

    def _kept(self, alike: Mapping[str, float]) -> str:
        """Return what comes out, ``network`` or ``start``, by the similarity losses of both."""
        worse = not alike["network"] <= alike["start"]
        if worse and self.keep == "better":
            _LOGGER.warning(
                "the network's field makes the images less alike (similarity loss %.3g, before %.3g): what it started "
                "from is kept; --keep network takes the field all the same.",
                alike["network"],
                alike["start"],
            )
        return "start" if self.keep == "start" or (worse and self.keep == "better") else "network"

    def _checked(self, image: MetaTensor, name: str) -> MetaTensor:
        """Return the image with as many axes as the network takes, placed as ITK has it."""
        settings, channels = self.settings, len(self.settings.channels)
        if image.numel() == 0:
            raise RegistrationError(f"{name} is empty (shape {list(image.shape)}); export it again.")
        if len(image) != channels:
            raise RegistrationError(
                f"{name} has {len(image)} channels, but the network takes {channels} ({', '.join(settings.channels)})."
            )
        dims = image.dim() - 1
        if dims == 3 and settings.spatial_dims == 2 and image.shape[-1] == 1:
            dims = 2
        if dims != settings.spatial_dims:
            hint = (
                "take a slice, or a network for volumes" if dims == 3 else "name a volume, or a network for 2D images"
            )
            raise RegistrationError(
                f"{name} is {dims}D, but the network registers {settings.spatial_dims}D images; {hint}."
            )
        plain = image.as_tensor()
        if not bool(torch.isfinite(plain).all()):
            raise RegistrationError(f"{name} has voxels that are NaN or infinite; replace them first.")
        if float(plain.min()) == float(plain.max()):
            raise RegistrationError(
                f"{name} has the same value {float(plain.min()):g} everywhere: nothing to register."
            )
        placed = as_placed(image, settings.spatial_dims)
        return _like(placed, placed.as_tensor().float())

    def _predict(
        self, network: Any, images: Both, fixed: Grid, matrix: np.ndarray, seconds: dict[str, float]
    ) -> tuple[Grid, dict[str, torch.Tensor], torch.Tensor]:
        """Return the network's grid, coarser where memory is short, the images on it, and its field or velocity."""
        settings = self.settings
        spacing = settings.spacing_for(fixed.affine)
        grids = [working_grid(fixed, spacing, settings.sizes, self.max_voxels)]
        while len(grids) < _TRIES:
            fewer = max(1, int(np.prod(grids[-1].sizes)) // 8)
            grids.append(working_grid(fixed, spacing, settings.sizes, fewer))

        def attempt(grid: Grid) -> tuple[Grid, dict[str, torch.Tensor], torch.Tensor]:
            with timed(seconds, "resampling"):
                seen = {
                    "moving": resample(images["moving"], grid, matrix=matrix).as_tensor()[None],
                    "fixed": resample(images["fixed"], grid).as_tensor()[None],
                }
            with timed(seconds, "network", self.device), torch.inference_mode():
                x = channels_last(torch.cat([seen["moving"], seen["fixed"]], dim=1).to(self.device))
                with self._autocast(x), CPUConvolutions():
                    raw = network.velocity(x) if settings.velocity_steps else network(x)
            # A copy that autograd takes, for the optimisation.
            return grid, seen, raw.float().contiguous().clone()

        return first_that_fits(attempt, grids, "the pair of images", "with larger voxels")


def _like(image: MetaTensor, voxels: torch.Tensor) -> MetaTensor:
    return MetaTensor(voxels, affine=image.affine)


def _in_ras(image: MetaTensor) -> MetaTensor:
    """Return a volume with its axes in RAS order; of 2D images a network sees the axes as their files have them."""
    own = grid_of(image)
    if own.dims == 2:
        return image
    return MetaTensor(reordered(image.as_tensor(), own, in_ras(own)), affine=torch.tensor(in_ras(own).affine))


def _start_matrix(start: str, images: Both, grids: dict[str, Grid]) -> np.ndarray:
    if start == "affine":
        moving, fixed = (_like(images[kind], images[kind].as_tensor().mean(0, keepdim=True)) for kind in grids)
        return align_affine(moving, fixed)
    return align_centres(grids["moving"], grids["fixed"]) if start == "centres" else np.eye(4)
