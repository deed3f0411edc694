"""The MONAI bundle of a folded segmentation network: all images of a folder to label maps, in MONAI's terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from monai.data import MetaTensor
from PIL import Image

from monai_hyperscale.data import read_dataset
from monai_hyperscale.data.intensity import channel_kind, ct_window
from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import ExportError
from monai_hyperscale.export import stock_parts as stock
from monai_hyperscale.export.folding import ImageFolding, StockBundle
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.io import read_image
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

Config = dict[str, Any]

# MONAI's writers bring every image to float32, which holds every whole number up to this one.
_LARGEST = 2**24
# Least share of voxels that must have the same label: all but those where two labels are as good as equal.
_LEAST_AGREEMENT = 0.999
# Back to the voxels of the file. Not ``Invertd``, for which a voxel midway between two is a matter of the last bit:
# coordinates are rounded first, as in monai_hyperscale.inference.regridding. Where the axes of both grids are the same
# but for their order and direction, each is indexed by itself.
_REGRIDDING = {
    "voxels": "$lambda image: numpy.linalg.solve(numpy.asarray(image.affine, dtype=float), "
    "numpy.asarray(image.meta['original_affine'], dtype=float))",
    "axes": "$lambda m: [int(axis) for axis in abs(m[:3, :3]).argmax(axis=0)]",
    "drift": "$lambda m, sizes: max(sum(abs(m[row, axis]) * (n - 1) for axis, n in enumerate(sizes) "
    "if @axes(m)[axis] != row) for row in range(3))",
    "nearest": "$lambda row, axis, n, size: numpy.clip(numpy.rint(numpy.round("
    "row[axis] * numpy.arange(n) + row[3], 6)), 0, size - 1).astype(int)",
    "straight": "$lambda label, m, sizes: label.permute(@axes(m))[numpy.ix_(*(@nearest(m[other], axis, n, "
    "label.shape[other]) for axis, (other, n) in enumerate(zip(@axes(m), sizes))))]",
    "oblique": "$lambda label, m, sizes: monai.networks.layers.AffineTransform(normalized=False, mode='nearest', "
    "padding_mode='border', align_corners=False, reverse_indexing=True)("
    "label[None, None].double(), torch.as_tensor(m), tuple(sizes))[0, 0].round()",
    "regrid": "$lambda label, m, sizes: (@straight if sorted(@axes(m)) == [0, 1, 2] and @drift(m, sizes) <= 1e-3 "
    "else @oblique)(label, m, sizes)",
}
_ON_FILE_GRID = (
    "$lambda data: {**data, 'pred': monai.data.MetaTensor(@regrid(monai.utils.convert_to_tensor("
    "data['pred'], track_meta=False)[0].cpu(), @voxels(data['image']), "
    "[int(n) for n in data['image'].meta['spatial_shape']])[None], meta="
    + stock.WRITTEN_META.format(key="image")
    + ")}"
)


def segmentation_config(settings: SegmentationSettings) -> Config:
    """Return ``inference.json`` of a folded segmentation network."""
    volumes = settings.file_dims == 3
    suffixes = (".nii", ".nii.gz") if volumes else (".png", ".jpg", ".jpeg", ".bmp")
    data = {"files": "$" + stock.files_of("@image_dir", suffixes), "data": "$" + _data(settings)}
    if volumes:
        folders = "(os.path.join(@dataset_dir, 'imagesTs'), @dataset_dir)"
        data["image_dir"] = f"$next(f for f in {folders} if os.path.isdir(f))"
    inference = {**_inferers(settings), **(_REGRIDDING if volumes else {})}
    return stock.stock_config(data, preprocessing(settings), inference, postprocessing(settings), "label maps are")


def _data(settings: SegmentationSettings) -> str:
    channels = settings.in_channels
    single = "[{'image': path} for path in @files]"
    if channels == 1 or settings.file_dims == 2:
        return single
    # case_0000.nii.gz, case_0001.nii.gz, ... are the channels of one image; else its fourth axis is.
    numbered = (
        f"[{{'image': [path.replace('_0000.nii', '_%04d.nii' % index) for index in range({channels})]}} "
        "for path in @files if '_0000.nii' in path]"
    )
    return f"{numbered} or {single}"


def preprocessing(settings: SegmentationSettings) -> list[Config]:
    """Return the transforms from a file's name to what the network takes, as ``segment`` has them."""
    if settings.file_dims == 3:
        steps: list[Config] = [
            stock.step("LoadImaged", "image", reader="NibabelReader", ensure_channel_first=True),
            # Before any resampling, which would spread what is not finite.
            stock.lambda_step("image", "torch.where(torch.isfinite(x), x, x[torch.isfinite(x)].min())"),
            stock.step("Orientationd", "image", axcodes="RAS", labels=None),
        ]
        if settings.spacing is not None:
            sampling = {"pixdim": list(settings.spacing), "mode": "bilinear", "padding_mode": "border"}
            steps.append(stock.step("Spacingd", "image", **sampling))
    else:
        mode = "RGB" if settings.in_channels == 3 else "L"
        reader = f"$monai.data.PILReader(converter=lambda image: image.convert('{mode}'))"
        steps = [stock.step("LoadImaged", "image", reader=reader, ensure_channel_first=True)]
    return [*steps, *_intensity(settings), stock.step("EnsureTyped", "image", dtype="$torch.float32")]


def _intensity(settings: SegmentationSettings) -> list[Config]:
    kinds = {(channel_kind(name), ct_window(name)) for name in settings.channels}
    fill = stock.lambda_step("image", stock.per_channel(stock.FILL))
    if len(kinds) == 1:
        return [fill, *_scaled(settings.channels[0], settings)]
    # Channels of several kinds: each goes through the transforms of its own.
    parts = [f"monai.transforms.Compose([{', '.join(_as_code(name))}])" for name in settings.channels]
    scaled = f"torch.cat([scale(c) for scale, c in zip([{', '.join(parts)}], x.split(1))])"
    return [fill, stock.lambda_step("image", scaled)]


def _scaled(channel: str, settings: SegmentationSettings) -> list[Config]:
    kind, (low, high) = channel_kind(channel), ct_window(channel)
    if kind == "ct":
        return [stock.step("ScaleIntensityRanged", "image", a_min=low, a_max=high, b_min=-2.0, b_max=2.0, clip=True)]
    if kind == "colour":
        if settings.file_dims == 2:
            return [stock.step("ScaleIntensityRanged", "image", a_min=0.0, a_max=255.0, b_min=-2.0, b_max=2.0)]
        return [stock.lambda_step("image", _COLOUR)]
    raised = stock.lambda_step("image", stock.per_channel("x - x.min()"))
    clipped = [stock.step("ClipIntensityPercentilesd", "image", lower=0.5, upper=99.5, channel_wise=True)]
    scaled = stock.step("NormalizeIntensityd", "image", channel_wise=True)
    return [raised, *(clipped if kind == "other" else []), scaled]


# The range of the file's integers, told by the greatest value.
_COLOUR = "4 * x / (1.0 if x.max() <= 1 else 255.0 if x.max() <= 255 else 65535.0) - 2"


def _as_code(channel: str) -> list[str]:
    kind, (low, high) = channel_kind(channel), ct_window(channel)
    if kind == "ct":
        return [f"monai.transforms.ScaleIntensityRange({low!r}, {high!r}, -2.0, 2.0, clip=True)"]
    if kind == "colour":
        return [f"(lambda x: {_COLOUR})"]
    clipped = ["monai.transforms.ClipIntensityPercentiles(0.5, 99.5)"] if kind == "other" else []
    return ["(lambda x: x - x.min())", *clipped, "monai.transforms.NormalizeIntensity()"]


def _inferers(settings: SegmentationSettings) -> Config:
    if settings.slices:
        slicing = {"roi_size": [-1, -1], "spatial_dim": 2, "sw_batch_size": 8, "progress": False}
        return {"inferer": {"_target_": "SliceInferer", **slicing}}
    roi = list(settings.roi_size or (128,) * settings.spatial_dims)
    windows = {"roi_size": roi, "sw_batch_size": 1, "overlap": 0.25, "mode": "gaussian"}
    return {
        # Images of more voxels go through in windows.
        "max_voxels": 2**24,
        "whole": {"_target_": "SimpleInferer"},
        "windows": {"_target_": "SlidingWindowInferer", **windows},
        "inferer": "$lambda images, network, *args, **kwargs: (@whole if images.shape[2:].numel() <= @max_voxels "
        "else @windows)(images, network, *args, **kwargs)",
    }


def postprocessing(settings: SegmentationSettings) -> list[Any]:
    """Return the transforms from logits to a label file on the grid of the image."""
    values = list(settings.values)
    indices = list(range(len(values)))
    back = stock.step("Invertd", "pred", transform="@preprocessing", orig_keys="image")
    on_grid = _ON_FILE_GRID if settings.file_dims == 3 else back
    steps: list[Any] = [stock.step("AsDiscreted", "pred", argmax=True), on_grid]
    if values != indices:
        steps.append(stock.step("MapLabelValued", "pred", orig_labels=indices, target_labels=values))
    suffix = ".nii.gz" if settings.file_dims == 3 else ".png"
    writing = stock.saving("pred", np.min_scalar_type(max(values)).name, suffix)
    if settings.in_channels > 1:
        # After the case, not the file of its first channel.
        name = "str(meta['filename_or_obj']).replace('_0000.nii', '.nii')"
        writing["output_name_formatter"] = f"$lambda meta, saver: {{'subject': {name}}}"
    return [*steps, writing]


class SegmentationStockBundle(StockBundle):
    """Label maps of all images of a folder."""

    def __init__(self, settings: SegmentationSettings) -> None:
        self.settings = settings

    def config(self) -> Config:
        return segmentation_config(self.settings)

    def write_inputs(
        self, folder: Path, images: Sequence[MetaTensor], size: Sequence[int]
    ) -> tuple[list[Path], dict[str, str]]:
        image = images[0] if images else None
        if self.settings.file_dims == 3:
            return [stock.write_volume(folder / "image.nii.gz", self.settings, image, size)], {}
        if image is not None:
            voxels = image.as_tensor().numpy()
        else:
            wanted = [max(stock.LEAST_SIZE, n) for n in size]
            channels = range(self.settings.in_channels)
            voxels = 255 * np.stack([synthetic_case([0, channel], 2, wanted)[0] for channel in channels])
        # As a pathologist's or microscope's file: 8 bit.
        voxels = voxels.clip(0, 255).astype(np.uint8).transpose(2, 1, 0)
        Image.fromarray(voxels[..., 0] if voxels.shape[-1] == 1 else voxels).save(folder / "image.png")
        return [folder / "image.png"], {}

    def compare(self, source: FoldSource, files: Sequence[Path], outputs: Path, real: bool) -> dict[str, Any]:
        # The bundle takes images as they are.
        segmenter = Segmenter(replace(self.settings, seen=None), source.network)
        expected = segmenter.segment(read_image(files[0], self.settings.in_channels), source.phi)
        (written,) = outputs.iterdir()
        found = read_image(written)[0].numpy()
        agreement = float((found == expected).mean()) if found.shape == expected.shape else 0.0
        if agreement < _LEAST_AGREEMENT:
            raise ExportError(
                f"run with MONAI, the bundle gives another label map than segment: {agreement:.2%} of the voxels agree."
            )
        return {"label_agreement": agreement}

    def card_rows(self) -> list[tuple[str, str]]:
        names = {0: "background", **self.settings.labels}
        told = [f"{value} {names.get(index, 'unused')}" for index, value in enumerate(self.settings.values)]
        return [("labels", ", ".join(told))]

    def card_text(self) -> list[str]:
        settings = self.settings
        kind = "NIfTI" if settings.file_dims == 3 else "PNG, JPEG or BMP"
        lines = [
            f"IMAGES is a folder of images ({kind}), or a data set with a folder `imagesTs`. The label maps have the "
            "names and grids of their images, and voxels the label values above."
        ]
        if settings.in_channels > 1 and settings.file_dims == 3:
            lines[0] += " `case_0000.nii.gz`, `case_0001.nii.gz`, … are the channels of one image."
        lines += [
            "",
            "Where it differs from `monai-hyperscale segment`: it reads fewer file formats; images far outside of "
            "what was trained, or of another voxel size, are taken as they are; the headers of the label "
            "maps have the affine of the image, but not its other fields; NIfTI files count as millimetres by their "
            "sform, whatever unit they name; the logits of every label are in memory for "
            "the whole image, four bytes each; on a GPU that is too small it does not go on in windows; and voxels "
            "where two labels are equal to the sixth digit may go to the other.",
        ]
        if settings.file_dims == 2:
            lines[-1] += " Images of 16 bits are read as 8."
        return lines


class SegmentationFolding(ImageFolding[SegmentationSettings]):
    """Images prepared as in training, see :class:`Folding`."""

    @property
    def usual_size(self) -> Optional[Sequence[int]]:
        return self.settings.roi_size

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        dataset = read_dataset(dataset_dir)
        check_kind(self.settings, dataset, dataset_dir)
        title = dataset_dir.expanduser().resolve().name
        case = cases_of_part(dataset.cases, self.settings.provenance, title, "test")[0]
        return str(case["name"]), list(np.atleast_1d(case["image"]))

    def stock_bundle(self) -> Union[SegmentationStockBundle, str]:
        largest = max(self.settings.values)
        if largest > _LARGEST:
            return f"MONAI's SaveImage rounds label values above {_LARGEST}, and there is {largest}"
        return SegmentationStockBundle(self.settings)
