"""From a folder or a list file to the images and pairs that a registration network learns from, checked."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_hyperscale.data import datalist
from monai_hyperscale.data.check import check_cases, check_grid
from monai_hyperscale.data.headers import FileHeader, file_suffix, image_files, read_header
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io import split_suffix
from monai_hyperscale.tasks.registration.pairs import Pair, RegistrationImages

PathLike = str | os.PathLike

_LOGGER = logging.getLogger(__name__)

_LISTS = ("pairs.json", "pairs.csv")
_KEYS = ("moving", "fixed", "moving_label", "fixed_label", "field")
# Displacement fields that are opened: unlike headers, they are read whole.
_MAX_FIELDS = 10
# Relative; voxel sizes in headers are rounded.
_SPACING_TOLERANCE = 0.02


def read_pairs(
    dataset_dir: PathLike,
    pairs: PathLike | None = None,
    atlas: PathLike | None = None,
    atlas_label: PathLike | None = None,
) -> RegistrationImages:
    """Read which images a folder holds and which of them to register.

    Images are those of a data set as :func:`read_dataset` knows them, with their labels; or without labels those that
    ``dataset.json`` lists, else those in ``imagesTr``, ``images`` or the folder itself. By default every image is
    registered to every other. A list says otherwise: ``pairs.json`` or ``pairs.csv``. JSON holds a list, alone or as
    ``"pairs"`` beside ``"labels"``; CSV has a header line. Both have these entries, of which the first two are needed
    (a JSON entry may be ``[moving, fixed]``):

    - ``moving``, ``fixed``: a path, relative to the list, or the name of a case of the folder;
    - ``moving_label``, ``fixed_label``: path of a label map on the image's grid; a case of the folder brings its own;
    - ``field``: path of the true displacement field on the fixed image's grid, in ITK's convention.

    ``pairs`` is a list anywhere, in place of the folder's own; ``atlas`` the fixed image of all pairs, by its case's
    name or its path; ``atlas_label`` the path of its label map, if it is given by its path. Where there is no folder,
    image or pair, or the list cannot be used, that is a :class:`DatasetError`.

    Example:
        >>> import tempfile
        >>> from monai_hyperscale.data import write_synthetic_dataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images = read_pairs(write_synthetic_dataset(folder, spatial_dims=2, cases=3, size=24), atlas="case_001")
        >>> [pair["name"] for pair in images.pair_list]
        ['case_000 to case_001', 'case_002 to case_001']
    """
    root = Path(dataset_dir).expanduser()
    if not root.is_dir():
        raise DatasetError(f"data-set folder {root} does not exist; give a folder of images to register.")
    listing = Path(pairs).expanduser() if pairs is not None else None
    if listing is None and atlas is None:
        listing = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if listing is None:
        images = read_images(root)
        return images if atlas is None else _to_atlas(images, atlas, atlas_label)
    if atlas is not None:
        raise DatasetError("a list of pairs names the fixed images, so leave the atlas out.")
    return _listed(root, listing, trusted=pairs is not None)


def read_images(dataset_dir: PathLike) -> RegistrationImages:
    """Read which images a folder holds, whatever list of pairs is beside them, see :func:`read_pairs`."""
    root = Path(dataset_dir).expanduser()
    description = datalist.read_description(root)
    entries = description.get("training")
    no_labels = isinstance(entries, list) and not all(isinstance(e, Mapping) and "label" in e for e in entries)
    has_folders = any((root / a).is_dir() and (root / b).is_dir() for a, b in datalist.FOLDERS)
    if not no_labels and (entries is not None or "dataset" in description or has_folders):
        data = datalist.read_dataset(root)
        return RegistrationImages(data.cases, data.channels, data.labels, data.spatial_dims, data.label_values)
    if no_labels:
        paths = [datalist.inside(root, e.get("image") if isinstance(e, Mapping) else e) for e in entries]  # type: ignore
    else:
        folder = next((root / name for name, _ in datalist.FOLDERS if (root / name).is_dir()), root)
        paths = list(datalist.files_by_stem(folder).values())
    if not paths:
        raise DatasetError(f"{root} holds no images; a folder with images, imagesTr or a list of pairs is needed.")
    cases = [{"image": str(path), "name": name} for path, name in zip(paths, _names(paths, root), strict=True)]
    return _described(sorted(cases, key=lambda case: case["name"]), description)


def _described(
    cases: list[dict], description: Mapping[str, Any], pairs: tuple[Pair, ...] | None = None, where: Path | None = None
) -> RegistrationImages:
    """Return images with channels and labels; labels are left out where not every case has them."""
    first = read_header(cases[0]["image"])
    channels = datalist.channel_names(description, cases, first)
    labels: dict[int, str] = {}
    values: tuple[int, ...] = ()
    if where is None or not all("label" in case for case in cases):
        cases = _bare(cases)
    elif "labels" in description:
        labels, values = datalist.declared_labels(where, description["labels"])
    else:
        labels, values = datalist.scanned_labels(where, [case["label"] for case in cases])
    return RegistrationImages(cases, channels, labels, len(first.sizes), values, pairs)


def _bare(cases: Sequence[dict]) -> list[dict]:
    return [{key: value for key, value in case.items() if key != "label"} for case in cases]


def _names(paths: Sequence[Path], root: Path) -> list[str]:
    """Return file names without suffix, with their folders where names alone are not unique."""
    stems = [split_suffix(path)[0] for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    folders = [os.path.relpath(path.parent, root).replace(os.sep, "_") for path in paths]
    return [f"{folder}_{stem}" for folder, stem in zip(folders, stems, strict=True)]


def _to_atlas(images: RegistrationImages, atlas: PathLike, atlas_label: PathLike | None) -> RegistrationImages:
    names = [case["name"] for case in images.cases]
    if str(atlas) in names:
        place = names.index(str(atlas))
    else:
        if not file_suffix(atlas) or not Path(atlas).is_file():
            raise DatasetError(
                f"atlas {str(atlas)!r} is neither a case of the folder ({names[0]} is the first) nor an image file."
            )
        place = len(names)
        stem = split_suffix(str(atlas))[0]
        case = {"image": str(atlas), "name": stem if stem not in names else "atlas"}
        if images.labels and atlas_label is not None:
            images = replace(images, cases=[*images.cases, {**case, "label": str(atlas_label)}])
        else:  # without labels on both sides there is nothing to compare
            images = replace(images, cases=_bare([*images.cases, case]), labels={}, label_values=())
    listed = tuple(Pair(i, place) for i in range(len(images.cases)) if i != place)
    return replace(images, pairs=listed, atlas=place)


def _listed(root: Path, listing: Path, trusted: bool) -> RegistrationImages:
    description, entries = _read_list(listing)
    folder: RegistrationImages | None = None
    by_name: dict[str, dict] = {}
    if any(not file_suffix(entry[key]) for entry in entries for key in ("moving", "fixed")):
        folder = read_images(root)
        by_name = {case["name"]: case for case in folder.cases}
    found: dict[str, dict] = {}
    places: dict[str, int] = {}

    def place(entry: dict[str, str], key: str) -> int:
        given = entry[key]
        if file_suffix(given):
            case = {"image": _path(listing, given, trusted)}
        elif given in by_name:
            case = dict(by_name[given])
        else:
            raise DatasetError(f"{listing} names {given!r}, which is neither an image file nor a case of {root}.")
        if entry.get(f"{key}_label"):
            case["label"] = _path(listing, entry[f"{key}_label"], trusted)
        image = str(case["image"])
        found.setdefault(image, {}).update(case)
        return places.setdefault(image, len(places))

    pairs = []
    for entry in entries:
        field = _path(listing, entry["field"], trusted) if entry.get("field") else None
        pair = Pair(place(entry, "moving"), place(entry, "fixed"), field)
        if pair.moving == pair.fixed:
            raise DatasetError(f"{listing} pairs {entry['moving']!r} with itself; name two images.")
        pairs.append(pair)
    cases = list(found.values())
    for case, name in zip(cases, _names([Path(image_files(case)[0]) for case in cases], listing.parent), strict=True):
        case.setdefault("name", name)
    if len({case["name"] for case in cases}) < len(cases):
        raise DatasetError(f"{listing} names two images alike; rename one, since results are named after images.")
    if folder is not None and folder.labels and all("label" in case for case in cases):
        return replace(folder, cases=cases, pairs=tuple(pairs))
    return _described(cases, description, tuple(pairs), where=listing)


def _path(listing: Path, given: str, trusted: bool) -> str:
    # A list that came with a data set must not reach out of its folder; one that the user names may.
    if trusted:
        return os.path.normpath(listing.parent / Path(given).expanduser())
    return str(datalist.inside(listing.parent, given, listing.name))


def _read_list(listing: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return what a list says beside its pairs, and these with the keys that :func:`read_pairs` names."""
    description: dict[str, Any] = {}
    try:
        text = listing.read_text(encoding="utf-8-sig")
        if listing.suffix.lower() == ".csv":
            entries: Any = list(csv.DictReader(text.splitlines(), skipinitialspace=True))
        else:
            entries = json.loads(text)
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"the list of pairs {listing} cannot be read ({error}); give a JSON or CSV file.") from error
    if isinstance(entries, Mapping):
        description = {key: value for key, value in entries.items() if key != "pairs"}
        entries = entries.get("pairs")
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f"{listing} lists no pair; give a list of entries with 'moving' and 'fixed'.")
    return description, [_entry(entry, listing) for entry in entries]


def _entry(entry: Any, listing: Path) -> dict[str, str]:
    if isinstance(entry, list) and len(entry) == 2:
        entry = dict(zip(_KEYS, entry, strict=False))
    needed = isinstance(entry, Mapping) and entry.get("moving") and entry.get("fixed")
    if not needed or not all(isinstance(entry.get(key) or "", str) for key in _KEYS):
        raise DatasetError(f"each entry of {listing} needs 'moving' and 'fixed', as text; got {entry!r}.")
    return {key: entry[key].strip() for key in _KEYS if entry.get(key)}


def check_pairs(images: RegistrationImages, limit: int | None = 500) -> None:
    """Stop with one clear sentence, a :class:`DatasetError`, at the first thing for which images cannot be registered.

    Looked at is what :func:`check_dataset` looks at, and whether pairs of known displacement lie on one grid. Voxel
    the log names sizes that differ from case to case.
    """
    cases = images.cases
    if len(cases) < 2:
        raise DatasetError(f"there {'is 1 image' if cases else 'are 0 images'}; a pair needs two.")
    fields = [pair for pair in images.pairs or () if pair.field is not None]
    headers = check_cases(images, limit, more=[str(pair.field) for pair in fields])
    spacings = [header.spacing for header in headers if header.spacing is not None]
    for pair in fields[:_MAX_FIELDS]:
        moving, fixed = (image_files(cases[index])[0] for index in (pair.moving, pair.fixed))
        header = read_header(fixed)
        check_grid(header, read_header(moving), fixed, moving)
        _check_field(str(pair.field), header, fixed)
    if spacings and np.ptp(spacings, axis=0).max() > _SPACING_TOLERANCE * np.min(spacings):
        _LOGGER.warning(
            "voxel sizes differ, from %s to %s mm; give --spacing to resample all images to one.",
            np.min(spacings, axis=0).round(3).tolist(),
            np.max(spacings, axis=0).round(3).tolist(),
        )


def _check_field(path: str, fixed: FileHeader, fixed_path: str) -> None:
    # Here, because most data sets have no fields.
    from monai_hyperscale.io.fields import grid_affine, read_field
    from monai_hyperscale.io.images import read_source

    field = read_field(path)
    affine = None if fixed.affine is None else np.asarray(field.affine, dtype=float)
    fixed = replace(fixed, affine=grid_affine(read_source(fixed_path)) if affine is not None else None)
    check_grid(fixed, FileHeader(tuple(field.shape[1:]), 1, affine), fixed_path, path)
