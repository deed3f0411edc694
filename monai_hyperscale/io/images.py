"""Reading of medical images: one channel-first tensor with its affine, or one sentence that says why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys, SpaceKeys

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.grids import affine_of, apart, is_invertible, laid_out
from monai_hyperscale.io.itk import ITK_SUFFIXES, load_itk
from monai_hyperscale.io.nifti import (
    BY_HEADER,
    NIBABEL_SUFFIXES,
    NIFTI_SUFFIXES,
    Placement,
    load_nibabel,
    load_nifti_header,
)
from monai_hyperscale.io.pictures import PICTURE_SUFFIXES, load_picture, picture_size

logger = logging.getLogger(__name__)

#: What :func:`read_image` reads.
IMAGE_SUFFIXES = NIBABEL_SUFFIXES + ITK_SUFFIXES + PICTURE_SUFFIXES

_SOURCE = "image_source"

# The names of channel files in nnU-Net: case_0000.nii.gz, case_0001.nii.gz.
_NUMBERED = re.compile(r"(.+)_(\d{4})")

# Greatest distance, in voxels, of the grids of channels that are one image: what rounding in headers makes.
_SAME_PLACE = 0.01


@dataclass(frozen=True)
class ImageSource:
    """Where an image came from and the grid that a label map of it must have.

    Args:
        path: the file.
        shape: voxels per axis, (x, y) or (x, y, z), channels and trailing single entries left out.
        affine: (4, 4) float64, from voxel indices to RAS millimetres; the identity for 2D image files.
        header: nibabel's header of a NIfTI file, else ``None``.
        is_file: whether shape and affine are those of the file; else of an image that was made of it.
    """

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray
    header: Optional[Any] = None
    is_file: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether it is a 2D image file such as PNG."""
        return split_suffix(self.path)[1] in PICTURE_SUFFIXES


def split_suffix(path: Union[str, Path]) -> tuple[str, str]:
    """Return a file's name without its image suffix, and that suffix in lower case; ``""`` if it is not known.

    Example:
        >>> split_suffix("a.b/Scan.1.NII.gz"), split_suffix("notes.txt")
        (('Scan.1', '.nii.gz'), ('notes.txt', ''))
    """
    name = Path(path).name
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name.removesuffix(name[len(name) - len(suffix) :]), suffix


def read_image(
    path: Union[str, Path, Sequence[Union[str, Path]]],
    channels: int = 1,
    only_finite: bool = False,
    placement: Placement = BY_HEADER,
) -> MetaTensor:
    """Read one image whole, with the file's scaling of intensities applied.

    Trailing axes of one entry are dropped, so (x, y, z, 1) is a volume. Voxels that are not finite get the least finite
    value, with a warning in the log.

    Args:
        path: NIfTI (``.nii``, ``.nii.gz``), MGH (``.mgz``, ``.mgh``), MetaImage (``.mha``, ``.mhd``), NRRD, or a 2D
            image file such as PNG. Or several of one grid, one per channel, whose first one counts as the source.
        channels: channels that the caller takes: with more than one, the entries of the fourth axis, or the components
            of every voxel; with one, such files are refused.
        only_finite: refuse voxels that are NaN or infinite, in place of the warning.
        placement: what to go by where the header leaves a choice; what is assumed without it stands in the log.

    Returns:
        float32 tensor (C, *sizes) in array order (x, y, z), (width, height) for 2D image files, with the affine in RAS
        millimetres, whatever unit the file is in, and the source, see :func:`image_source`.

    Raises:
        ImageError: if the file is missing, empty or damaged, of another kind, a time series or in colour, has no finite
            voxel or an affine without inverse; if the files are more or fewer than the channels, or their grids differ.

    Example:
        >>> read_image("scan.nii.gz")
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.ImageError: scan.nii.gz does not exist.
    """
    if not isinstance(path, (str, Path)):
        if len(path) != 1:
            return _read_channels(path, channels, only_finite, placement)
        (path,) = path
    voxels, source, mode = load_voxels(Path(path), channels, placement)
    return image_of(_finite(voxels, source.path, only_finite), source, mode)


def load_voxels(
    path: Path, channels: int = 1, placement: Placement = BY_HEADER, labels: bool = False, quiet: bool = False
) -> tuple[np.ndarray, ImageSource, Optional[str]]:
    """Return a file's voxels (C, *sizes), ``labels`` in its own type, their source, and Pillow's mode of a picture."""
    check_file(path)
    suffix = split_suffix(path)[1]
    affine, header, note, mode = np.eye(4), None, "", None
    try:
        if suffix in PICTURE_SUFFIXES:
            voxels, mode = load_picture(path, channels, labels)
        else:
            load = load_nibabel if suffix in NIBABEL_SUFFIXES else load_itk
            voxels, affine, header, note = load(path, placement, labels)
            voxels = _channel_first(voxels, channels, path)
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into memory; crop or down-sample it first.") from error
    if not is_invertible(affine, voxels.ndim - 1):
        raise ImageError(f"{path} has an affine that cannot be inverted; repair its orientation (sform or qform).")
    if note and not quiet:
        logger.warning("%s %s", path, note)
    return voxels, ImageSource(path, voxels.shape[1:], affine, header, is_file=True), mode


def image_of(voxels: np.ndarray, source: ImageSource, mode: Optional[str] = None) -> MetaTensor:
    """Return voxels (C, *sizes) with their affine, their source, and the metadata that MONAI's ``LoadImage`` gives."""
    meta = {
        # The keys that MONAI's LoadImage sets, for transforms that look at them.
        MetaKeys.ORIGINAL_AFFINE: source.affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(source.shape),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        MetaKeys.SPACE: SpaceKeys.RAS,
        "filename_or_obj": str(source.path),
        _SOURCE: source,
    }
    if mode is not None:
        meta["mode"] = mode  # as MONAI's PILReader notes it
    return MetaTensor(torch.from_numpy(voxels), affine=torch.as_tensor(source.affine, dtype=torch.float64), meta=meta)


def _read_channels(
    paths: Sequence[Union[str, Path]], channels: int, only_finite: bool, placement: Placement
) -> MetaTensor:
    if len(paths) != channels:
        raise ImageError(
            f"an image of {channels} channel{'s' * (channels > 1)} is needed, got {len(paths)} files "
            f"({', '.join(map(str, paths))}); name one file per channel."
        )
    images = [read_image(path, only_finite=only_finite, placement=placement) for path in paths]
    check_same_grid([image_source(image) for image in images])
    voxels = torch.cat([image.as_tensor() for image in images])
    return MetaTensor(voxels, meta=images[0].meta)  # its affine is in there


def check_same_grid(sources: Sequence[ImageSource]) -> None:
    """Check that channels of one image have the same voxels; an :class:`ImageError` says where they differ."""
    first = sources[0]
    for source in sources[1:]:
        if source.shape != first.shape:
            sizes = ["x".join(map(str, s.shape)) for s in (source, first)]
            raise ImageError(
                f"{source.path} has {sizes[0]} voxels, but {first.path} {sizes[1]}; resample the channels to one grid."
            )
        if apart(source.affine, first.affine, first.shape) > _SAME_PLACE:
            raise ImageError(f"{source.path} has another affine than {first.path}; resample the channels to one grid.")


def check_file(path: Path) -> None:
    """Check, without reading it, that a file is there, is not empty and has a name that is known."""
    if path.is_dir():
        raise ImageError(f"{path} is a folder; name an image file.")
    if not path.exists():
        raise ImageError(f"{path} does not exist.")
    if not path.is_file():
        raise ImageError(f"{path} is not a regular file.")
    if not split_suffix(path)[1]:
        raise ImageError(f"{path} is not of a known kind ({', '.join(IMAGE_SUFFIXES)}); convert it first.")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); copy it again from where it came.")


def image_source(image: MetaTensor) -> ImageSource:
    """Return where an image (C, *sizes) came from: what :func:`read_image` noted, else its own affine and size."""
    source = image.meta.get(_SOURCE)
    if isinstance(source, ImageSource):
        return source
    return ImageSource(Path(str(image.meta.get("filename_or_obj", ""))), tuple(image.shape[1:]), affine_of(image))


def read_source(path: Union[str, Path], placement: Placement = BY_HEADER) -> ImageSource:
    """Return where an image comes from, as :func:`image_source`, without decoding voxels of NIfTI and 2D image files.

    An :class:`ImageError` if the file is missing, empty, of an unknown kind, or has a damaged header; other damage goes
    unnoticed, and what the header leaves open unsaid.
    """
    path = Path(path)
    check_file(path)
    suffix = split_suffix(path)[1]
    if suffix in PICTURE_SUFFIXES:
        return ImageSource(path, picture_size(path), np.eye(4), is_file=True)
    if suffix in NIFTI_SUFFIXES:
        header, affine, _ = load_nifti_header(path, placement)
        return ImageSource(path, header.get_data_shape()[:3], affine, header, is_file=True)
    return image_source(read_image(path, placement=placement))


def _channel_first(voxels: np.ndarray, channels: int, path: Path) -> np.ndarray:
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if 0 in voxels.shape:
        raise ImageError(f"{path} has no voxels (shape {voxels.shape}); export it again.")
    if voxels.ndim < 2:
        raise ImageError(f"{path} has shape {voxels.shape}; an image of 2 or 3 axes is needed.")
    if voxels.ndim <= 3:
        return laid_out(voxels[None])
    if voxels.ndim == 4 and voxels.shape[3] == channels:
        return laid_out(np.moveaxis(voxels, 3, 0))
    wanted = "one scalar image" if channels == 1 else f"one image of {channels} channels"
    raise ImageError(
        f"{path} is {voxels.ndim}D, of shape {'x'.join(map(str, voxels.shape))}: a time series, colour or vectors; "
        f"{wanted} is needed, so take it out first."
    )


def _finite(voxels: np.ndarray, path: Path, only_finite: bool) -> np.ndarray:
    finite = np.isfinite(voxels)
    if finite.all():
        return voxels
    if not finite.any():
        raise ImageError(f"{path} has no finite voxel, only NaN or infinity; export it again.")
    if only_finite:
        raise ImageError(f"{path} has {(~finite).sum()} voxels that are NaN or infinite; replace them first.")
    least = voxels[finite].min()
    logger.warning("%s has %d voxels that are NaN or infinite; they count as %g.", path, (~finite).sum(), least)
    return np.where(finite, voxels, least)


class ImageFiles(NamedTuple):
    """An image's name without suffix, and its file, or one file per channel in their order."""

    name: str
    paths: tuple[Path, ...]


def group_channels(paths: Iterable[Union[str, Path]], channels: int = 1) -> list[ImageFiles]:
    """Put files together that are channels of one image, in the order of the images' first files.

    - If all files end in ``_0000``, each is a whole image, named without it: nnU-Net's names for one channel, and for
      files that hold all channels.
    - Otherwise, for a network of one channel, every file is an image as it is: ``case_0001`` may well be its name.
    - For one of several ``channels``, where any file ends in ``_0000``, files that end in ``_0000``, ``_0001``, … are
      the channels of one image; files without such a number are images as they are. Where channels
      are missing or too many, an :class:`ImageError`.

    Example:
        >>> for image in group_channels(["a_0000.nii", "a_0001.nii", "b.nii"], channels=2):
        ...     print(image.name, *image.paths)
        a a_0000.nii a_0001.nii
        b b.nii
    """
    files = [Path(path) for path in paths]
    matches = [_NUMBERED.fullmatch(split_suffix(path)[0]) for path in files]
    first = [match is not None and match[2] == "0000" for match in matches]
    if all(first):
        return [ImageFiles(split_suffix(path)[0].removesuffix("_0000"), (path,)) for path in files]
    if channels == 1 or not any(first):
        return [ImageFiles(split_suffix(path)[0], (path,)) for path in files]
    images: dict[Path, list[Path]] = {}
    for path, match in zip(files, matches, strict=True):
        # A file without a number is a group of its own: the whole path is no case's.
        images.setdefault(path if match is None else path.parent / match[1], []).append(path)
    return [
        ImageFiles(split_suffix(key)[0], tuple(group)) if group == [key] else _in_order(key, group, channels)
        for key, group in images.items()
    ]


def _in_order(case: Path, group: list[Path], channels: int) -> ImageFiles:
    group = sorted(group, key=lambda path: split_suffix(path)[0])
    numbers = [split_suffix(path)[0][-4:] for path in group]
    if numbers != [f"{channel:04d}" for channel in range(channels)]:
        raise ImageError(
            f"{case} has the channel files {', '.join(numbers)}, but the network takes {channels} channels, "
            f"0000 to {channels - 1:04d}; complete them, or rename files that are images of their own."
        )
    return ImageFiles(case.name, tuple(group))
