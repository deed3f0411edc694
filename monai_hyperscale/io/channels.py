"""Images with one file per channel, named as nnU-Net names them: ``case_0000.nii.gz``, ``case_0001.nii.gz``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Union

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.images import split_suffix

__all__ = ["ImageFiles", "group_channels"]

_NUMBERED = re.compile(r"(.+)_(\d{4})")


class ImageFiles(NamedTuple):
    """An image's name without suffix, and its file, or one file per channel in their order."""

    name: str
    paths: tuple[Path, ...]


def group_channels(paths: Iterable[Union[str, Path]], channels: int = 1) -> list[ImageFiles]:
    """Put files together that are channels of one image, in the order of the images' first files.

    - If all files end in ``_0000``, each is a whole image, named without it: nnU-Net's names for one channel, and for
      files that hold all channels.
    - Otherwise, for a network of one channel, every file is an image as it is: ``case_0001`` may well be its name.
    - For a network of several channels, where any file ends in ``_0000``, files that end in ``_0000``, ``_0001``, … are
      the channels of one image; files without such a number are images as they are.

    Args:
        paths: image files.
        channels: that the network takes.

    Raises:
        ImageError: if an image has other channel files than the network takes.

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
