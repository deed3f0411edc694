"""What a folded registration network is compared on, and its bundle in MONAI's own terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

import nibabel as nib
import torch
from monai.data import MetaTensor

from monai_hyperscale.data.intensity import UnitIntensity
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import DatasetError, ExportError
from monai_hyperscale.export import stock_parts as stock
from monai_hyperscale.export.folding import Folding, StockBundle
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.inference.resampling import as_placed, resample, working_grid
from monai_hyperscale.io import read_image
from monai_hyperscale.io.grids import grid_of
from monai_hyperscale.tasks.registration.recorded_pairs import measured_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

Config = dict[str, Any]
_BOTH = ["moving", "fixed"]
# Most voxels that two fields may differ by: anywhere where both images have one grid, and in the mean where they have
# two, since MONAI and SimpleITK resample differently at the border of an image.
_FIELD_TOLERANCE = 0.01
_MEAN_TOLERANCE = 0.1


def _preprocessing(settings: RegistrationSettings) -> list[Config]:
    steps: list[Config] = [
        stock.step("LoadImaged", _BOTH, reader="NibabelReader", ensure_channel_first=True),
        # What is moved in the end: the intensities of the file.
        stock.step("CopyItemsd", "moving", names="raw"),
        stock.step("Orientationd", "fixed", axcodes="RAS", labels=None),
        stock.lambda_step(_BOTH, stock.per_channel(stock.FILL)),
        stock.lambda_step(_BOTH, stock.per_channel("x - x.min()")),
        stock.step("ClipIntensityPercentilesd", _BOTH, lower=0.5, upper=99.5, channel_wise=True),
        stock.step("ScaleIntensityd", _BOTH, minv=0.0, maxv=1.0, channel_wise=True),
    ]
    if settings.sizes is not None:
        steps.append(stock.step("SpatialPadd", "fixed", spatial_size=list(settings.sizes)))
    matching = {"_target_": "ResampleToMatchd", "key_dst": "fixed", "mode": "bilinear"}
    return [
        *steps,
        {**matching, "keys": "moving", "padding_mode": "zeros"},
        {**matching, "keys": "raw", "padding_mode": "border"},
        stock.step("EnsureTyped", [*_BOTH, "raw"], dtype="$torch.float32"),
        stock.step("ConcatItemsd", _BOTH, name="image", dim=0),
    ]


def _postprocessing() -> list[Any]:
    moved = "@warp(data['raw'].as_tensor()[None], data['pred'][None])[0]"
    # In millimetres, so that its components mean the same on the grid of the file.
    field = "torch.einsum('ij,j...->i...', data['fixed'].affine[:3, :3].to(data['pred']), data['pred'])"
    # Files are named after the moving image.
    meta = stock.WRITTEN_META.format(key="fixed")
    naming = (
        "monai.data.MetaTensor(monai.utils.convert_to_tensor(data[key], track_meta=False), "
        f"meta={{**{meta}, 'filename_or_obj': data['moving'].meta['filename_or_obj']}})"
    )
    back = {"transform": "@preprocessing", "orig_keys": "fixed", "nearest_interp": False}
    return [
        stock.step("EnsureTyped", "pred", device="cpu", track_meta=False),
        # Invertd leaves alone what has no metadata.
        f"$lambda data: {{**data, 'moved': monai.data.MetaTensor({moved}), 'field': monai.data.MetaTensor({field})}}",
        stock.step("Invertd", ["moved", "field"], **back),
        f"$lambda data: {{**data, **{{key: {naming} for key in ('moved', 'field')}}}}",
        *(stock.saving(key, "float32", postfix=key) for key in ("moved", "field")),
    ]


class RegistrationStockBundle(StockBundle):
    """All images of a folder moved to one fixed image, volumes at their own voxel size."""

    arguments = " --fixed FIXED"

    def __init__(self, settings: RegistrationSettings) -> None:
        self.settings = settings

    def config(self) -> Config:
        data = {
            "fixed": None,
            "files": "$" + stock.files_of("@dataset_dir", (".nii", ".nii.gz")),
            "data": "$[{'moving': path, 'fixed': @fixed} for path in @files "
            "if os.path.abspath(path) != os.path.abspath(str(@fixed))]",
        }
        inference = {
            "inferer": {"_target_": "SimpleInferer"},
            "warp": {"_target_": "monai.networks.blocks.Warp", "mode": "bilinear", "padding_mode": "border"},
        }
        named = "$None if @fixed else sys.exit('name the fixed image with --fixed FILE')"
        done = "moved images and their fields are"
        return stock.stock_config(data, _preprocessing(self.settings), inference, _postprocessing(), done, named)

    def write_inputs(
        self, folder: Path, images: Sequence[MetaTensor], size: Sequence[int]
    ) -> tuple[list[Path], dict[str, str]]:
        files = [
            stock.write_volume(folder / f"{name}.nii.gz", self.settings, images[index] if images else None, size, index)
            for index, name in enumerate(("a_moving", "b_fixed"))
        ]
        return files, {"fixed": str(files[1])}

    def compare(self, source: FoldSource, files: Sequence[Path], outputs: Path, real: bool) -> dict[str, Any]:
        settings = self.settings
        moving, fixed = (read_image(path, len(settings.channels)) for path in files)
        context: dict[str, Any] = dict(source.context)
        # The bundle takes images as they are, and gives the network's field whatever it is worth.
        registrar = Registrar(replace(settings, seen=None), source.network, keep="network")
        result = registrar.register(moving, fixed, **context)
        matrix = result.field.affine[:3, :3].to(torch.float64)
        # The stock bundle writes millimetres, RAS.
        expected = torch.einsum("ij,j...->i...", matrix, result.field.as_tensor().double())
        written: Any = nib.load(outputs / "a_moving_field.nii.gz")
        found = torch.from_numpy(written.get_fdata()).movedim(-1, 0)
        if found.shape != expected.shape:
            raise ExportError(f"run with MONAI, the bundle gives a field of shape {list(found.shape)}.")
        spacing = float(torch.linalg.vector_norm(matrix, dim=0).min())
        apart = (found - expected).abs() / spacing
        largest, mean = float(apart.max()), float(apart.mean())
        if not (mean <= _MEAN_TOLERANCE if real else largest <= _FIELD_TOLERANCE):
            raise ExportError(
                f"run with MONAI, the bundle gives another field than register: {mean:.2g} voxels apart in the mean, "
                f"{largest:.2g} at most."
            )
        return {"field_difference_voxels": {"mean": mean, "largest": largest}}

    def card_text(self) -> list[str]:
        return [
            "IMAGES is a folder of moving images (NIfTI), FIXED the image they are laid on. For each, OUT gets "
            "`NAME_moved.nii.gz` and `NAME_field.nii.gz` on the grid of FIXED. The field is in millimetres, RAS: from "
            "a point of FIXED to the point of the moving image.",
            "",
            "Where it differs from `monai-hyperscale register`: the images are taken to lie in one space as their "
            "headers say (no affine alignment); the moving image is interpolated twice where the grids differ, and at "
            "its border by MONAI's rule; an image of few bright voxels on a constant background is "
            "clipped; NIfTI files count as millimetres by their sform, whatever unit they name; the field is not in "
            "ITK's convention, and is the network's even where the start was better; images far outside of what was "
            "trained, or of another voxel size, are taken as they are.",
        ]


class RegistrationFolding(Folding[RegistrationSettings]):
    """Pairs prepared as in training."""

    takes = ("the moving", "the fixed image")
    output_is_classes = False

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        return self.settings.sizes

    def synthetic(self, sizes: Sequence[int], seed: int) -> torch.Tensor:
        settings = self.settings
        both = [synthetic_case([seed, case], settings.spatial_dims, list(sizes))[0] for case in range(2)]
        return UnitIntensity()(torch.stack([torch.from_numpy(one) for one in both for _ in settings.channels]))

    def prepared(self, images: Sequence[MetaTensor]) -> torch.Tensor:
        settings, scale = self.settings, UnitIntensity()
        placed = [as_placed(image, settings.spatial_dims) for image in images]
        scaled = [MetaTensor(scale(image.as_tensor()), affine=image.affine) for image in placed]
        grid = working_grid(grid_of(placed[1]), settings.spacing, settings.sizes)
        x = torch.cat([resample(image, grid).as_tensor() for image in scaled])[None]
        if x.shape[1] != settings.in_channels:
            raise ExportError(f"the images have {x.shape[1]} channels together, expected {settings.in_channels}.")
        return x

    def read(self, paths: Sequence[Any]) -> list[MetaTensor]:
        self.check_count(paths)
        return [read_image(path, len(self.settings.channels), only_finite=True) for path in paths]

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        folders = [] if bundle is None else [model_folder(bundle), model_folder(bundle).parent]
        pair = next(iter(measured_pairs(self.settings, dataset_dir, folders=folders)[1].sample(1)), None)
        if pair is None:
            raise DatasetError(f"{dataset_dir} has no pair among its test cases; name the two images instead.")
        return str(pair["name"]), [pair["moving"]["image"], pair["fixed"]["image"]]

    def stock_bundle(self) -> Union[RegistrationStockBundle, str]:
        if self.settings.spatial_dims != 3:
            return "MONAI has no transforms that lay 2D image files on one grid"
        if self.settings.spacing is not None:
            return "MONAI has no transform that gives the fixed image's grid another voxel size as in training"
        return RegistrationStockBundle(self.settings)
