"""From a folder to a list of cases: Medical Segmentation Decathlon, nnU-Net, or plain image and label folders."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import partition_dataset

from monai_hyperscale.data.headers import FileHeader, case_header, file_suffix, image_files, label_values, read_header
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.images import split_suffix

_LOGGER = logging.getLogger(__name__)

# Pairs of folders that are looked for where no dataset.json lists the files.
FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))
_MAX_SCANNED_LABELS = 255
_SCANNED_VOXELS = 200_000_000
_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class SegmentationDataset:
    """What a data-set folder holds.

    Args:
        cases: ``{"image": path or list of paths (one per channel), "label": path, "name": str}``, sorted by name.
        channels: names of the image channels, such as ``("MRI",)``, ``("FLAIR", "T1w")``, ``("red", "green", "blue")``.
        labels: class index → name, without background, indices 1 … K.
        spatial_dims: 2 or 3, of the files.
        label_values: value in the files of class 0 … K, such as ``(0, 128, 255)``. Networks see class indices only.
    """

    cases: list[dict]
    channels: tuple[str, ...]
    labels: dict[int, str]
    spatial_dims: int
    label_values: tuple[int, ...]


def read_dataset(dataset_dir: str | os.PathLike) -> SegmentationDataset:
    """Read which cases, channels and labels a folder holds.

    Understood are, in this order:

    - ``dataset.json`` of the Medical Segmentation Decathlon (``training`` list, ``modality``, ``labels`` by number);
    - ``dataset.json`` of nnU-Net (``channel_names``, ``labels`` by name, one file per channel: ``case_0000.nii.gz``);
    - no json: ``imagesTr`` and ``labelsTr``, or ``images`` and ``labels``, paired by name whatever the suffix. Channels
      come from the image headers, and the values of all label files (evenly spread ones, if they are many and large),
      in ascending order, are the classes 0 (background), 1, 2, …, named "label <value>".

    Files are NIfTI or 2D images (``.png``, ``.tif``, ``.bmp``, ``.jpg``). Hidden ones are left out. A folder that is
    none of these, or whose list points outside of it, is a :class:`DatasetError`.

    Example:
        >>> import tempfile
        >>> from monai_hyperscale.data import write_synthetic_dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data = read_dataset(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24, labels=2))
        >>> data.cases[0]["name"], data.channels, data.labels
        ('case_000', ('grey',), {1: 'structure 1', 2: 'structure 2'})
    """
    root = Path(dataset_dir).expanduser()
    if root.name == "dataset.json" and root.is_file():
        root = root.parent
    if not root.is_dir():
        raise DatasetError(
            f"data-set folder {root} does not exist; give a folder with dataset.json or imagesTr/labelsTr."
        )
    description = read_description(root)
    listed = _listed_cases(root, description)
    cases = _paired_cases(root) if listed is None else listed
    if not cases:
        raise DatasetError(f"{root} lists no case that has an image and a label.")
    cases.sort(key=lambda case: case["name"])
    for case, other in itertools.pairwise(cases):
        if case["name"] == other["name"]:
            raise DatasetError(
                f"{root} holds two cases named {case['name']!r}; rename one, since outputs are named after cases."
            )

    first = case_header(cases[0])
    channels = channel_names(description, cases, first)
    if "labels" in description:
        labels, values = declared_labels(root / "dataset.json", description["labels"])
    else:
        labels, values = scanned_labels(root, [case["label"] for case in cases])
    return SegmentationDataset(cases, channels, labels, len(first.sizes), values)


def read_description(root: Path) -> dict[str, Any]:
    """Return the content of a folder's ``dataset.json``, empty where there is none."""
    path = root / "dataset.json"
    if not path.is_file():
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is not valid JSON ({error}); correct it, or remove it to pair files by name."
        ) from error
    if not isinstance(description, dict):
        raise DatasetError(f"{path} must hold a JSON object, got a {type(description).__name__}.")
    return description


def _listed_cases(root: Path, description: Mapping[str, Any]) -> list[dict] | None:
    """Return the cases that the json lists, or ``None`` where it lists none and the folders are to be read."""
    entries = description.get("training")
    if entries is None and isinstance(description.get("dataset"), Mapping):
        entries = [{"image": e.get("images"), "label": e.get("label")} for e in description["dataset"].values()]
    if entries is None:
        return None
    if not isinstance(entries, list):
        raise DatasetError(f"'training' of {root / 'dataset.json'} must be a list, got a {type(entries).__name__}.")
    cases = []
    for entry in entries:
        if not isinstance(entry, Mapping) or not entry.get("image") or not isinstance(entry.get("label"), str):
            raise DatasetError(
                f'each training case of {root / "dataset.json"} must be {{"image", "label"}}, got {entry!r}.'
            )
        listed = [entry["image"]] if isinstance(entry["image"], str) else list(entry["image"])
        paths = [inside(root, path) for path in listed]
        if len(paths) == 1:
            paths = _channel_files(paths[0])
        label = inside(root, entry["label"])
        # A number is left out only where the label's name says so: "case_0001" may as well be the name of a case.
        name, named = _stem(paths[0]), _stem(label)
        cases.append(_case(named if re.sub(r"_\d{4}$", "", name) == named else name, paths, label))
    return cases


def _case(name: str, paths: Sequence[Path], label: Path) -> dict[str, Any]:
    return {"image": str(paths[0]) if len(paths) == 1 else [*map(str, paths)], "label": str(label), "name": name}


def _stem(path: str | os.PathLike) -> str:
    return split_suffix(str(path))[0]


def inside(root: Path, relative: Any, listing: str = "dataset.json") -> Path:
    """Join a listed path to the folder; refuse one that leaves it, since a data set may come from anywhere."""
    if not isinstance(relative, str):
        raise DatasetError(f"paths in {root / listing} must be text, got {relative!r}.")
    joined = os.path.normpath(os.path.join(root, relative))
    if os.path.isabs(relative) or os.path.relpath(joined, root).split(os.sep)[0] == os.pardir:
        raise DatasetError(f"{root / listing} names {relative!r}, outside the data-set folder; move the file into it.")
    return Path(joined)


def _channel_stems(stem: str, present: Container[str]) -> list[str]:
    """Return nnU-Net's ``stem_0000``, ``stem_0001``, … as far as they are present."""
    numbered = (f"{stem}_{channel:04d}" for channel in itertools.count())
    return list(itertools.takewhile(lambda name: name in present, numbered))


def _channel_files(path: Path) -> list[Path]:
    """Return ``path``, or nnU-Net's one file per channel (``case_0000.nii.gz``, …) where only those exist."""
    if path.exists():
        return [path]
    suffix = path.name[len(_stem(path)) :]
    present = {name.removesuffix(suffix) for name in os.listdir(path.parent)} if path.parent.is_dir() else set()
    return [path.with_name(stem + suffix) for stem in _channel_stems(_stem(path), present)] or [path]


def files_by_stem(folder: Path) -> dict[str, Path]:
    """Return the image files of a folder by their names without suffix; hidden files are left out."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not file_suffix(path) or not path.is_file():
            continue
        stem = _stem(path)
        if stem in found:
            raise DatasetError(f"{folder} holds both {found[stem].name} and {path.name}; keep one of them.")
        found[stem] = path
    return found


def _paired_cases(root: Path) -> list[dict]:
    folders = next(((a, b) for a, b in FOLDERS if (root / a).is_dir() and (root / b).is_dir()), None)
    if folders is None:
        raise DatasetError(
            f"{root} has no list of cases; a data-set folder holds dataset.json, "
            "or imagesTr and labelsTr, or images and labels."
        )
    images, labels = (files_by_stem(root / folder) for folder in folders)
    used: set[str] = set()
    cases = []
    for stem, label in labels.items():
        parts = [stem] if stem in images else _channel_stems(stem, images)
        if not parts:
            continue
        used.update(parts)
        cases.append(_case(stem, [images[part] for part in parts], label))
    if not cases:
        example = f"{next(iter(images), 'nothing')} and {next(iter(labels), 'nothing')}"
        raise DatasetError(f"no image in {root / folders[0]} has a label of the same name in {folders[1]} ({example}).")
    alone = sorted(set(images) - used) + sorted(set(labels) - {case["name"] for case in cases})
    if alone:
        _LOGGER.warning("%s: %d files have no partner and are left out, %s among them.", root, len(alone), alone[0])
    return cases


def channel_names(description: Mapping[str, Any], cases: Sequence[dict], first: FileHeader) -> tuple[str, ...]:
    """Return the names of the image channels: those that are declared, else what the files hold."""
    declared = description.get("channel_names", description.get("modality"))
    names: list[str] = []
    if isinstance(declared, Mapping):
        try:
            names = [str(declared[key]) for key in sorted(declared, key=int)]
        except ValueError as error:
            raise DatasetError(f'channels in dataset.json must be numbered from "0", got {list(declared)}.') from error
    elif declared is not None:
        names = [declared] if isinstance(declared, str) else [str(name) for name in declared]
    files = len(image_files(cases[0]))
    in_files = first.channels if files == 1 else files
    if first.affine is None and files == 1 and len(names) < 2:
        # A folder may mix grey and colour files: grey ones are then read as red = green = blue.
        in_files = max(_image_channels(image_files(case)) for case in cases)
        if in_files == 3:
            return _RGB
    if names:
        return tuple(names)
    if in_files == 1:
        return ("grey",) if first.affine is None else ("image",)
    return tuple(f"channel {index}" for index in range(in_files))


def _image_channels(files: Sequence[str]) -> int:
    return read_header(files[0]).channels if len(files) == 1 and Path(files[0]).exists() else len(files)


def declared_labels(listing: Path, declared: Any) -> tuple[dict[int, str], tuple[int, ...]]:
    """Return (class → name, file value of each class) from Decathlon's {"1": name} or nnU-Net's {name: 1}."""
    where = f"'labels' of {listing}"
    if not isinstance(declared, Mapping) or not declared:
        raise DatasetError(f"{where} must map numbers to names, got {declared!r}.")
    if any(isinstance(value, list) for value in declared.values()):
        raise DatasetError(
            f"{where} declare regions (lists of numbers), which are not supported; give each label one number."
        )
    try:
        names = {int(key): str(name) for key, name in declared.items()}
    except (TypeError, ValueError):
        try:
            names = {int(value): str(name) for name, value in declared.items()}
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{where} must map numbers to names, got {dict(declared)!r}.") from error
        if len(names) < len(declared):
            raise DatasetError(f"{where} give one number to two names: {dict(declared)!r}.") from None
        if "ignore" in declared:
            raise DatasetError(
                f"{where} declare an 'ignore' label, which is not supported; remove it from list and files."
            ) from None
    values = tuple(sorted(set(names) - {0}))
    if not values or values[0] < 0:
        raise DatasetError(f"{where} must name at least one label above 0, the background; got {dict(declared)!r}.")
    return {index: names[value] for index, value in enumerate(values, start=1)}, (0, *values)


def scanned_labels(root: Path, paths: Sequence[str]) -> tuple[dict[int, str], tuple[int, ...]]:
    """Return (class → name, file value of each class) from the values that label files hold."""
    values = sorted(label_values(spread_voxels(paths, _SCANNED_VOXELS)) - {0})
    if not values:
        raise DatasetError(f"the label files of {root} hold background (0) only; nothing can be learned from them.")
    if values[0] < 0 or len(values) > _MAX_SCANNED_LABELS:
        raise DatasetError(
            f"the label files of {root} hold {len(values)} values from {values[0]} to {values[-1]}, which do not look "
            "like labels; name the labels in dataset.json, or merge instance numbers into classes."
        )
    labels = {index: f"label {value}" for index, value in enumerate(values, start=1)}
    if values != list(range(1, len(values) + 1)):
        _LOGGER.info("%s: label values %s become classes 1 to %d.", root, values, len(values))
    return labels, (0, *values)


def spread(items: Sequence[Any], limit: int | None) -> list[Any]:
    """Return up to ``limit`` items, evenly spread over the list."""
    count = len(items) if limit is None else min(limit, len(items))
    return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]


def spread_voxels(paths: Sequence[str], voxels: int) -> list[str]:
    """Return as many files, evenly spread over the list, as hold about ``voxels`` voxels together; at least ten."""
    return spread(paths, max(10, voxels // max(1, math.prod(read_header(paths[0]).sizes))))


def split_cases(
    cases: Sequence[dict], fractions: Sequence[float] = (0.75, 0.05, 0.2), seed: int = 0
) -> tuple[list, list, list]:
    """Split cases into training, validation and test; the same split for the same cases and seed on every machine.

    Sort them first, since the split depends on the order. Each part with a share above 0 gets at least one case, and
    none is lost. Fewer cases than parts are a :class:`DatasetError`, other ``fractions`` than three shares ≥ 0 with a
    sum above 0 a ``ValueError``.

    Example:
        >>> [len(part) for part in split_cases([{"name": str(n)} for n in range(200)])]
        [150, 10, 40]
    """
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) <= 0:
        raise ValueError(f"fractions must be three shares of at least 0, got {tuple(fractions)}.")
    parts = sum(fraction > 0 for fraction in fractions)
    if len(cases) < parts:
        raise DatasetError(f"{len(cases)} cases cannot be split into {parts} parts; at least {parts} are needed.")
    shuffled = partition_dataset(list(cases), ratios=(1,), shuffle=True, seed=seed)[0]
    counts = [int(fraction / sum(fractions) * len(cases) + 0.5) or int(fraction > 0) for fraction in fractions]
    counts[int(np.argmax(counts))] += len(cases) - sum(counts)  # the largest part takes what rounding left over
    ends = np.cumsum(counts).tolist()
    return shuffled[: ends[0]], shuffled[ends[0] : ends[1]], shuffled[ends[1] :]
