"""What a folded registration network is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from monai.data import MetaTensor

from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import DatasetError, ExportError
from monai_hyperscale.export.folding import Folding
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.inference.resampling import as_placed, resample, working_grid
from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.io.images import read_image
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.registration.recorded_pairs import pairs_of_part, read_trained_pairs
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.registration.stock import RegistrationStockBundle, why_not

__all__ = ["RegistrationFolding"]


class RegistrationFolding(Folding[RegistrationSettings]):
    """Pairs prepared as in training, see :class:`Folding`."""

    takes = ("the moving", "the fixed image")
    output_is_classes = False

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        """Voxels per axis that images were padded or cropped to."""
        return self.settings.sizes

    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        """Return two anatomies, each in every channel of its image, see :class:`Folding`."""
        settings = self.settings
        both = [synthetic_case([seed, case], settings.spatial_dims, list(sizes))[0] for case in range(2)]
        return UnitIntensity()(torch.stack([torch.from_numpy(one) for one in both for _ in settings.channels]))

    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        """Return the moving and the fixed image on one grid, see :class:`Folding`."""
        settings, scale = self.settings, UnitIntensity()
        placed = [as_placed(image, settings.spatial_dims) for image in images]
        scaled = [MetaTensor(scale(image.as_tensor()), affine=image.affine) for image in placed]
        grid = working_grid(grid_of(placed[1]), settings.spacing, settings.sizes)
        x = torch.cat([resample(image, grid).as_tensor() for image in scaled])[None]
        if x.shape[1] != settings.in_channels:
            raise ExportError(f"the images have {x.shape[1]} channels together, expected {settings.in_channels}.")
        return x

    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        """Read the moving and the fixed image, see :class:`Folding`."""
        self.check_count(paths)
        return [read_image(path, len(self.settings.channels), only_finite=True) for path in paths]

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        """Return a pair of test cases, see :class:`Folding`."""
        folders = [] if bundle is None else [model_folder(bundle), model_folder(bundle).parent]
        images = read_trained_pairs(dataset_dir, self.settings.provenance, folders)
        check_kind(self.settings, images, dataset_dir)
        title = dataset_dir.expanduser().resolve().name
        cases = cases_of_part(images.subjects, self.settings.provenance, title)
        pair = next(iter(pairs_of_part(images, cases).sample(1)), None)
        if pair is None:
            raise DatasetError(f"{dataset_dir} has no pair among its test cases; name the two images instead.")
        return str(pair["name"]), [pair["moving"]["image"], pair["fixed"]["image"]]

    def stock_bundle(self) -> Union[RegistrationStockBundle, str]:
        """Return the bundle in MONAI's own terms, see :class:`Folding`."""
        return why_not(self.settings) or RegistrationStockBundle(self.settings)
