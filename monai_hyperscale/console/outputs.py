"""Several output files of one command: checked before any work, and written all together or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Optional

from monai_hyperscale.errors import ArgumentError, ImageError

# Not imported from io, which takes seconds.
_IMAGES = (".nii.gz", ".nii")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
#: Files of displacement fields.
FIELDS = (*_IMAGES, ".mha", ".nrrd")


def image_suffixes(like: Path) -> tuple[str, ...]:
    """Return what images and label maps on the grid of a file may end in."""
    return (*_IMAGES, ".png") if like.name.lower().endswith(_PICTURES) else _IMAGES


def check_outputs(
    outputs: Mapping[str, tuple[Optional[Path], Sequence[str]]], inputs: Sequence[Optional[Path]], overwrite: bool
) -> None:
    """Check the output files: option to its file, or ``None``, and the suffixes that it may have.

    None may be of another suffix, exist without ``overwrite``, be a folder, or be one of the inputs or another output.
    """
    read = [path.resolve() for path in inputs if path is not None]
    seen: dict[Path, str] = {}
    for option, (path, suffixes) in outputs.items():
        if path is None:
            continue
        if not path.name.lower().endswith(tuple(suffixes)):
            raise ArgumentError(f"{option} is a file that ends in {' or '.join(suffixes)}, got {path}.")
        if path.is_dir():
            raise ArgumentError(f"{option} is a file, but {path} is a folder.")
        place = path.resolve()
        if place in read or any(path.exists() and path.samefile(other) for other in read if other.exists()):
            raise ArgumentError(f"{option} {path} is one of the inputs; name another file.")
        if place in seen:
            raise ArgumentError(f"{seen[place]} and {option} are the same file {path}; name two.")
        seen[place] = option
        _check_writable(path.parent)
    if not overwrite:
        check_free([path for path, _ in outputs.values() if path is not None])


def check_free(paths: Sequence[Path], way_out: str = "add --overwrite") -> None:
    """Check that none of the files to write is there."""
    there = [str(path) for path in paths if path.exists()]
    if there:
        others = [f" and {there[1]}" if len(there) == 2 else f" and {len(there) - 1} more"] * (len(there) > 1)
        raise ArgumentError(f"{there[0]}{''.join(others)} exist{'s' * (not others)} already; {way_out}.")


def check_folder(option: str, folder: Path, files: Sequence[str] = (), overwrite: bool = True) -> list[Path]:
    """Check that files of some names can be written in a folder, which need not exist; return their paths."""
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{option} is a folder, but {folder} is a file.")
    _check_writable(folder)
    paths = [folder / name for name in files]
    for path in paths:
        if path.is_dir():
            raise ArgumentError(f"{path} is a folder; name another place with {option}.")
    if not overwrite:
        check_free(paths, f"add --overwrite, or name another folder with {option}")
    return paths


def _check_writable(folder: Path) -> None:
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise ArgumentError(f"folder {folder} cannot be made ({nearest} is a file).")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ArgumentError(f"nothing can be written in {nearest}; name another place.")


@contextmanager
def written_together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give a temporary path for each file; put all in place, in this order, when the block ends well, else none."""
    from monai_hyperscale.io.files import replacing

    made = {folder for path in paths for folder in path.absolute().parents if not folder.exists()}
    try:
        with ExitStack() as stack:
            # The first to be opened comes into place last.
            yield [stack.enter_context(replacing(path)) for path in reversed(paths)][::-1]
    except BaseException as error:
        for folder in sorted(made, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise ImageError(f"the outputs cannot be written ({error.strerror or error}).") from error
        raise
