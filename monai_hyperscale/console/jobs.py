"""Which file is written for which image, settled and checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from monai_hyperscale.console.command import wrong_arguments
from monai_hyperscale.console.outputs import check_free
from monai_hyperscale.errors import ArgumentError, ImageError
from monai_hyperscale.io.images import IMAGE_SUFFIXES, ImageFiles, group_channels, split_suffix
from monai_hyperscale.io.labels import LABEL_SUFFIXES
from monai_hyperscale.io.pictures import PICTURE_SUFFIXES


@dataclass(frozen=True)
class Job:
    """One image to segment; ``skip`` where the output is there and stays as it is."""

    files: tuple[Path, ...]  # one, or one per channel
    output: Path
    preview: Optional[Path] = None
    skip: bool = False

    @property
    def image(self) -> Path:
        """The file that messages name and whose header the output keeps: the first."""
        return self.files[0]


def plan_jobs(
    images: Sequence[Path],
    output: str,
    suffix: str = "",
    preview: bool = False,
    existing: str = "refuse",
    other_outputs: Sequence[Path] = (),
    channels: int = 1,
) -> list[Job]:
    """Settle the output of every image, or an :class:`ArgumentError` says why not.

    Args:
        images: image files that exist, or one folder of them, without its hidden files and other kinds. Channel
            files are put together and their output named after the case, see :func:`group_channels`.
        output: a label file for one image; a folder otherwise, or where there is no suffix.
        suffix: put between an image's name and its file suffix in the output's name.
        preview: whether pictures are written too.
        existing: what an output that exists means: ``refuse``, ``overwrite`` or ``skip``.
        other_outputs: further files that will be written and must be none of the images.
        channels: that the network takes.
    """
    if "/" in suffix or "\\" in suffix:
        raise ArgumentError(f"--suffix is part of a file name, got {suffix!r}.")
    folder_given = len(images) == 1 and images[0].is_dir()
    target = Path(output)
    if folder_given:
        beside = target.exists() and images[0].samefile(target)
        images = _folder_images(images[0], suffix if beside else "")
    for image in images:
        if image.is_dir():
            raise ArgumentError(f"{image} is a folder; name image files, or one folder alone.")
    grouped = _grouped(images, channels, folder_given)
    outputs = _outputs(grouped, target, suffix, folder_given, slash=output.endswith(("/", "\\")))
    jobs = []
    for group, path in zip(grouped, outputs, strict=True):
        picture = path.with_name(split_suffix(path)[0] + "_preview.png") if preview else None
        jobs.append(Job(group.paths, path, picture, skip=existing == "skip" and path.exists()))
    _check_clashes(jobs, images, other_outputs)
    if existing == "refuse":
        written = [path for job in jobs for path in (job.output, job.preview) if path is not None]
        check_free([*written, *other_outputs], "add --overwrite or --skip-existing")
    return jobs


def _folder_images(folder: Path, own_suffix: str) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    names = {path: split_suffix(path) for path in files}
    # Where outputs go beside their images, those of an earlier run are no images.
    files = [path for path, (name, kind) in names.items() if kind and not (own_suffix and name.endswith(own_suffix))]
    if not files:
        raise ArgumentError(f"folder {folder} has no image ({', '.join(IMAGE_SUFFIXES)}).")
    return files


def _grouped(images: Sequence[Path], channels: int, folder_given: bool) -> list[ImageFiles]:
    with wrong_arguments(ImageError):
        grouped = group_channels(images, channels)
    if folder_given:
        return grouped
    # Of a file alone, named by the user, not even a number is cut off.
    return [ImageFiles(split_suffix(i.paths[0])[0], i.paths) if len(i.paths) == 1 else i for i in grouped]


def _outputs(images: Sequence[ImageFiles], target: Path, suffix: str, folder_given: bool, slash: bool) -> list[Path]:
    ending = split_suffix(target)[1]
    if slash or target.is_dir() or not ending:
        if target.exists() and not target.is_dir():
            raise ArgumentError(f"{target} exists and is neither a folder nor a label file (.nii.gz, .nii).")
        return [target / (image.name + suffix + _label_suffix(image.paths[0])) for image in images]
    if folder_given or len(images) > 1:
        raise ArgumentError(f"{target} is one file, for {len(images)} images; name a folder.")
    first = images[0].paths[0]
    known = LABEL_SUFFIXES if _label_suffix(first) != ".png" else (*LABEL_SUFFIXES, ".png")
    if ending not in known:
        raise ArgumentError(f"the label map of {first.name} must end in {' or '.join(known)}, got {target}.")
    return [target]


def _label_suffix(image: Path) -> str:
    suffix = split_suffix(image)[1]
    return ".png" if suffix in PICTURE_SUFFIXES else ".nii" if suffix == ".nii" else ".nii.gz"


def _check_clashes(jobs: Sequence[Job], images: Sequence[Path], other_outputs: Sequence[Path]) -> None:
    inputs = {_identity(image) for image in images}
    written: dict[Path, Job] = {}
    for job in jobs:
        for path in (job.output, job.preview):
            if path is None:
                continue
            if path.exists() and _identity(path) in inputs:
                raise ArgumentError(f"output {path} is an input image; name another folder, or add --suffix.")
            earlier = written.setdefault(path.resolve(), job)
            if earlier is not job:
                raise ArgumentError(
                    f"{earlier.image} and {job.image} would both be written to {path}; segment them into two folders."
                )
    for path in other_outputs:
        if path.resolve() in written or (path.exists() and _identity(path) in inputs):
            raise ArgumentError(f"{path} is an image or the output of one; name another file.")


def _identity(path: Path) -> tuple[int, int]:
    # Of the file behind links of both kinds, and whatever the case of its name.
    status = path.stat()
    return status.st_dev, status.st_ino
