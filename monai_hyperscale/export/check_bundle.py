"""Whether a bundle written in MONAI's own terms gives what this package gives, on one image or pair."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor
from PIL import Image

from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.io import image_source, read_image
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

__all__ = ["check_bundle"]

# Least share of voxels that must have the same label: all but those where two labels are as good as equal.
_LEAST_AGREEMENT = 0.999
# Most voxels that two fields may differ by: anywhere where both images have one grid, and in the mean where they have
# two, since MONAI and SimpleITK resample differently at the border of an image.
_FIELD_TOLERANCE = 0.01
_MEAN_TOLERANCE = 0.1


def check_bundle(folder: Path, source: FoldSource, images: Sequence[MetaTensor], size: Sequence[int]) -> dict[str, Any]:
    """Run a bundle with MONAI alone and compare its outputs with this package's own on the same files.

    Args:
        folder: of the bundle.
        source: the network it was made from.
        images: to run on, see :class:`Inputs`; none for synthetic anatomy.
        size: of synthetic anatomy.

    Returns:
        for the manifest: the share of voxels with the same label, or the fields' largest difference in voxels.

    Raises:
        ExportError: if the bundle does not run, or its output is another.
    """
    with tempfile.TemporaryDirectory() as temporary:
        inputs, outputs = Path(temporary) / "in", Path(temporary) / "out"
        inputs.mkdir()
        files = _written(inputs, source, images, size)
        overrides = {"dataset_dir": str(inputs), "output_dir": str(outputs), "device": "cpu"}
        if isinstance(source.settings, RegistrationSettings):
            overrides["fixed"] = str(files[1])
        try:
            _run(folder, overrides)
        except (Exception, SystemExit) as error:  # whatever MONAI raises: the bundle is not to be had
            raise ExportError(f"the bundle does not run with MONAI ({first_line(_cause(error))}).") from error
        if isinstance(source.settings, SegmentationSettings):
            return _compare_labels(source, files, outputs)
        return _compare_fields(source, files, outputs, bool(images))


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _run(folder: Path, overrides: dict[str, str]) -> None:
    before, level = list(sys.path), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            flow = ConfigWorkflow(
                config_file=str(folder / "configs" / "inference.json"),
                meta_file=str(folder / "configs" / "metadata.json"),
                logging_file=False,
                workflow_type="infer",
                **overrides,
            )
            flow.initialize()
            flow.run()
            flow.finalize()
    finally:
        logging.disable(level)
        sys.path[:] = before


def _written(folder: Path, source: FoldSource, images: Sequence[MetaTensor], size: Sequence[int]) -> list[Path]:
    """Write the images as files that MONAI reads; channels of one image as its fourth axis."""
    settings: Any = source.settings
    if settings.file_dims == 2:
        # As a pathologist's or microscope's file: 8 bit.
        arrays = [_picture(settings, images, size)]
        Image.fromarray(arrays[0]).save(folder / "image.png")
        return [folder / "image.png"]
    volumes: list[tuple[np.ndarray, np.ndarray]] = []
    for index in range(2 if isinstance(settings, RegistrationSettings) else 1):
        if images:
            affine = image_source(images[index]).affine
            volumes.append((images[index].as_tensor().numpy(), affine))
            continue
        wanted = [max(8, n) for n in ([*size, 12] if settings.slices else size)]
        labels = min(20, max(1, len(settings.labels)))
        channels = [synthetic_case([index, c], 3, wanted, labels)[0] for c in range(len(settings.channels))]
        # Left and right, front and back are swapped in the file.
        volumes.append((1000 * np.stack(channels), np.diag([-1.0, -1.0, 1.0, 1.0])))
    files = []
    for name, (voxels, affine) in zip(("a_moving", "b_fixed"), volumes, strict=False):
        path = folder / f"{name if len(volumes) > 1 else 'image'}.nii.gz"
        data = voxels[0] if len(voxels) == 1 else np.moveaxis(voxels, 0, -1)
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
        files.append(path)
    return files


def _picture(settings: SegmentationSettings, images: Sequence[MetaTensor], size: Sequence[int]) -> np.ndarray:
    if images:
        voxels = images[0].as_tensor().numpy()
    else:
        wanted = [max(8, n) for n in size]
        voxels = 255 * np.stack([synthetic_case([0, c], 2, wanted)[0] for c in range(settings.in_channels)])
    voxels = voxels.clip(0, 255).astype(np.uint8).transpose(2, 1, 0)
    return voxels[..., 0] if voxels.shape[-1] == 1 else voxels


def _compare_labels(source: FoldSource, files: list[Path], outputs: Path) -> dict[str, Any]:
    settings: Any = source.settings
    segmenter = Segmenter(settings, source.network)
    expected = segmenter.segment(read_image(files[0], settings.in_channels), source.phi)
    (written,) = outputs.iterdir()
    found = read_image(written)[0].numpy()
    agreement = float((found == expected).mean()) if found.shape == expected.shape else 0.0
    if agreement < _LEAST_AGREEMENT:
        raise ExportError(
            f"run with MONAI, the bundle gives another label map than segment: {agreement:.2%} of the voxels agree."
        )
    return {"label_agreement": agreement}


def _compare_fields(source: FoldSource, files: list[Path], outputs: Path, real: bool) -> dict[str, Any]:
    settings: Any = source.settings
    moving, fixed = (read_image(path, len(settings.channels)) for path in files)
    weight = source.context[-1] if settings.regularization is not None else None
    result = Registrar(settings, source.network).register(moving, fixed, source.phi, regularization=weight)
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
